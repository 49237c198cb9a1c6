"""API keys: reading, making and matching them. Pure. Only hashes are stored and compared.

SHA-256 without salt or rounds is enough for secrets of 32 random bytes, which is what `new_key()`
makes, because these cannot be guessed. It is not enough for a secret that a person made up.
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

#: How the hash of a secret begins, where an entry has the hash in place of the secret.
HASH_PREFIX = "sha256="
#: A name needs no escaping in an entry, in a comma-separated list of entries, or in a log.
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
#: Of a new secret, in bytes.
SECRET_SIZE = 32


class Role(StrEnum):
    """What an API key may do; each role includes those before it.

    VIEW sees calls with their numbers masked, and nothing of what was said. READ sees everything,
    DISPATCH starts, transfers and ends calls, ADMIN deletes a caller's data and reads the audit.
    """

    VIEW = "view"
    READ = "read"
    DISPATCH = "dispatch"
    ADMIN = "admin"

    def includes(self, other: "Role") -> bool:
        return _RANKS[self] >= _RANKS[other]


_RANKS = {role: rank for rank, role in enumerate(Role)}
_ROLES = "view, read, dispatch or admin"


class MalformedApiKey(Exception):
    """An entry is not `name:role:secret`; the text never repeats the entry, which is a secret."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One entry of GATEWAY_API_KEYS or security.hashed_keys. Keys may share a name (rotation)."""

    name: str
    role: Role
    digest: bytes = field(repr=False)


#: A key that is configured by its hash.
HashedKey = NewType("HashedKey", ApiKey)


def read_key(entry: str) -> ApiKey:
    """`name:role:secret` or `name:role:sha256=<64 hex>`. Raises MalformedApiKey."""
    name, role, secret = _parts(entry)
    if not secret.startswith(HASH_PREFIX):
        return ApiKey(name, role, digest_of(secret))
    written = secret.removeprefix(HASH_PREFIX)
    if not re.fullmatch(r"[0-9a-fA-F]{64}", written):
        raise MalformedApiKey(
            f"{HASH_PREFIX} must be followed by 64 hex digits: python -m gateway key"
        )
    return ApiKey(name, role, bytes.fromhex(written))


def read_hashed_key(entry: str) -> HashedKey:
    """As `read_key()`, but takes only the form with a hash. Raises MalformedApiKey."""
    if not _parts(entry)[2].startswith(HASH_PREFIX):
        raise MalformedApiKey(
            f"Must be name:role:{HASH_PREFIX}<64 hex digits>, as python -m gateway key prints it; "
            "set a plain secret in the environment, as GATEWAY_API_KEYS."
        )
    return HashedKey(read_key(entry))


def digest_of(secret: str) -> bytes:
    # aiohttp decodes header bytes that are not UTF-8 as surrogates.
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def matching(offered: str, keys: Iterable[ApiKey]) -> list[ApiKey]:
    """The keys whose secret is `offered`; all are compared, so that timing reveals nothing."""
    digest = digest_of(offered)
    return [key for key in keys if hmac.compare_digest(key.digest, digest)]


def new_key(name: str, role: Role) -> tuple[str, str]:
    """A new secret, and its entry for the gateway's configuration. Raises MalformedApiKey."""
    if not NAME.fullmatch(name):
        raise MalformedApiKey(
            "the name must be 1 to 64 letters, digits, dots, hyphens or underscores"
        )
    secret = secrets.token_urlsafe(SECRET_SIZE)
    return secret, f"{name}:{role}:{HASH_PREFIX}{digest_of(secret).hex()}"


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The API keys that `doctor` and `simulate` send: a secret for each role.

    `is_required`: whether the gateway has any API keys configured.
    """

    secrets: Mapping[Role, str] = field(repr=False)
    is_required: bool

    @classmethod
    def from_entries(cls, entries: Iterable[str], keys: Iterable[ApiKey]) -> "OwnKeys":
        """`entries` of GATEWAY_API_KEYS that are not hashes; `keys` are the gateway's."""
        secrets_by_role: dict[Role, str] = {}
        for entry in entries:
            _, role, secret = _parts(entry)
            if not secret.startswith(HASH_PREFIX):
                for included in filter(role.includes, Role):
                    secrets_by_role.setdefault(included, secret)
        return cls(secrets_by_role, is_required=any(True for _ in keys))

    def header(self, role: Role) -> Mapping[str, str]:
        """The header of a request that needs `role`, if any is needed. Raises ConfigError."""
        if role in self.secrets:
            return {"X-API-Key": self.secrets[role]}
        if not self.is_required:
            return {}
        raise ConfigError(
            [
                f"this command has no API key with role {role}: set its secret in the command's "
                f"environment, as GATEWAY_API_KEYS=name:{role}:secret"
            ]
        )


def _parts(entry: str) -> tuple[str, Role, str]:
    name, _, rest = entry.partition(":")
    role, _, secret = rest.partition(":")
    if not (name and secret and role in set(Role)):
        # The message does not repeat the entry, which contains a secret.
        raise MalformedApiKey(f"Must be name:role:secret, where the role is {_ROLES}.")
    return name, Role(role), secret
