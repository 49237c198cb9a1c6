"""Every secret that a Config holds, for logs to redact. Pure."""

import base64
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any
from urllib.parse import unquote

from gateway.calls.destinations import Credentials
from gateway.config.settings import Config, KeyPair

#: The passwords in a URL of Redis or PostgreSQL: `redis://user:password@host/?password=…`.
_URL_PASSWORDS = re.compile(r"(?<=:)[^:@/]+(?=@)|(?<=password=)[^&#]+")


def secret_values(config: Config) -> frozenset[str]:
    """The secrets in `config`, except API keys: of these it has only hashes."""
    return frozenset(
        secret
        for section in fields(config)
        for item in fields(getattr(config, section.name))
        if not item.repr
        for secret in _secrets_in(getattr(getattr(config, section.name), item.name))
        if secret
    )


def _secrets_in(value: Any) -> Iterator[str]:
    match value:
        case str() if value.startswith(("redis", "postgresql://", "sqlite://")) and "://" in value:
            for password in _URL_PASSWORDS.findall(value):
                yield from {password, unquote(password)}
        case str():
            yield value
        case Credentials():
            yield value.password
            yield base64.b64encode(f"{value.username}:{value.password}".encode()).decode()
        case KeyPair():
            yield value.secret
        case tuple():
            for entry in value:
                yield from _secrets_in(entry)
