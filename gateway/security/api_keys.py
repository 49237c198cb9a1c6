"""API keys: who may ask the gateway, and for what. Pure: kept as hashes, compared as hashes.

SHA-256 without salt or rounds is enough for secrets of 32 random bytes, which is what `new_key()`
makes: there is nothing to guess. For a secret that somebody thought up it is not.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

from gateway.errors import ConfigError

#: What an entry has in place of the secret where it has only its hash.
HASH_MARK = "sha256="
#: A name that can stand in an entry, in a comma-separated list of them, and in a log.
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: In bytes; twice what can be guessed by anybody.
SECRET_SIZE = 32


class Role(StrEnum):
    """What an API key may do; `dispatch` includes `read`."""

    READ = "read"
    DISPATCH = "dispatch"

    def includes(self, other: "Role") -> bool:
        return self is Role.DISPATCH or self is other


class NotAKey(Exception):
    """An entry is not of the form it must have; the text says which, and never what it holds."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One entry of GATEWAY_API_KEYS or security.hashed_keys; several may share a name."""

    name: str
    role: Role
    digest: bytes = field(repr=False)


#: A key of which not even the configuration has more than the hash.
HashedKey = NewType("HashedKey", ApiKey)


def read_key(entry: str) -> ApiKey:
    """`name:role:secret` or `name:role:sha256=<64 hex>`. Raises NotAKey."""
    name, role, secret = _parts(entry)
    if not secret.startswith(HASH_MARK):
        return ApiKey(name, role, digest_of(secret))
    written = secret.removeprefix(HASH_MARK)
    if not re.fullmatch(r"[0-9a-fA-F]{64}", written):
        raise NotAKey(f"{HASH_MARK} must be followed by 64 hex digits: python -m gateway key")
    return ApiKey(name, role, bytes.fromhex(written))


def read_hashed_key(entry: str) -> HashedKey:
    """The same with the hashed form only. Raises NotAKey."""
    if not _parts(entry)[2].startswith(HASH_MARK):
        raise NotAKey(
            f"Must be name:role:{HASH_MARK}<64 hex digits>, as python -m gateway key prints it; "
            "a secret itself belongs into the environment, as GATEWAY_API_KEYS."
        )
    return HashedKey(read_key(entry))


def digest_of(secret: str) -> bytes:
    # Headers may carry bytes that are no UTF-8; aiohttp hands them on as surrogates.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def matching(offered: str, keys: Iterable[ApiKey]) -> list[ApiKey]:
    """The keys whose secret was offered. All are compared, so timing tells nothing of them."""
    digest = digest_of(offered)
    return [key for key in keys if hmac.compare_digest(key.digest, digest)]


def new_key(name: str, role: Role) -> tuple[str, str]:
    """A fresh secret, and the hashed entry that lets its bearer in. Raises NotAKey."""
    if not NAME.fullmatch(name):
        raise NotAKey("the name must be 1 to 64 letters, digits, dots, hyphens or underscores")
    secret = secrets.token_urlsafe(SECRET_SIZE)
    return secret, f"{name}:{role}:{HASH_MARK}{digest_of(secret).hex()}"


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """How our own commands prove themselves to the gateway: secrets by role, where it asks."""

    secrets: Mapping[Role, str] = field(repr=False)
    is_asked: bool

    @classmethod
    def among(cls, entries: Iterable[str], keys: Iterable[ApiKey]) -> "OwnKeys":
        """From the plain ones of `entries`; `keys` are those the gateway knows."""
        known = [*keys]
        found: dict[Role, str] = {}
        for entry in entries:
            _, role, secret = _parts(entry)
            if not secret.startswith(HASH_MARK):
                for included in filter(role.includes, Role):
                    found.setdefault(included, secret)
        return cls(found, is_asked=bool(known))

    def header(self, role: Role) -> Mapping[str, str]:
        """What to send along; nothing where no key is asked for. Raises ConfigError."""
        if role in self.secrets:
            return {"X-API-Key": self.secrets[role]}
        if not self.is_asked:
            return {}
        raise ConfigError(
            [
                f"no API key to show: put one whose secret you have, role {role}, into this "
                f"command's environment: GATEWAY_API_KEYS=name:{role}:secret"
            ]
        )


def _parts(entry: str) -> tuple[str, Role, str]:
    name, _, rest = entry.partition(":")
    role, _, secret = rest.partition(":")
    if not (name and secret and role in set(Role)):
        # The entry itself stays out of the message: it holds a secret.
        raise NotAKey("Must be name:role:secret, the role dispatch or read.")
    return name, Role(role), secret
