"""The keys of one gateway in Redis, its scripts, and the errors of redis-py as our own."""

import asyncio
import re
import secrets
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    DataError,
    NoPermissionError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)

from gateway.errors import StorageRefused, StorageUnavailable
from gateway.storage.redis.connect import CONNECTIONS, Client

#: What Redis answers while it is not as it should be; other complaints are about what was asked.
_STATES = re.compile(
    r"\b(OOM|MISCONF|READONLY|LOADING|BUSY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|NOGROUP|UNBLOCKED)\b"
)
_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)


class Database:
    """Raises RegistryUnavailable for whatever keeps Redis from answering.

    Any request is over after `deadline` (s), whoever else wants to ask and however often a
    connection has to be made.

    All keys share a hash tag, so that a cluster keeps them in one place and scripts may use any of
    them. `name` tells this process from others.
    """

    def __init__(self, client: Client, prefix: str, *, deadline: float) -> None:
        self._client = client
        self._prefix = f"{{{prefix}}}:"
        self._deadline = deadline
        self._places = asyncio.Semaphore(CONNECTIONS)
        self.name = secrets.token_hex(6)

    def key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    async def ask(self, *words: str | float) -> Any:
        """One Redis command."""
        try:
            async with asyncio.timeout(self._deadline), self._places:
                return await self._client.execute_command(*words)
        except (RedisError, RedisClusterException, OSError, TimeoutError) as error:
            if _is_ours_to_see(error):
                raise
            refused = isinstance(error, _REFUSALS)
            kind = StorageRefused if refused else StorageUnavailable
            raise kind(f"Redis: {_public_fields(error)}") from error

    async def run(self, script: str, key: str, *arguments: str | float) -> Any:
        """The script of that name, on `key` and whatever else it finds by the prefix."""
        text, digest = _script(script)
        words = 1, key, self._prefix, *arguments
        try:
            return await self.ask("EVALSHA", digest, *words)
        except NoScriptError:
            return await self.ask("EVAL", text, *words)


def _is_ours_to_see(error: Exception) -> bool:
    """A script to be sent, or a defect: waiting would not mend it."""
    if isinstance(error, NoScriptError | DataError):
        return True
    return type(error) is ResponseError and not _STATES.search(str(error))


def _public_fields(error: Exception) -> str:
    if isinstance(error, RedisClusterException):
        return "the cluster cannot be used now"  # its text may repeat what was asked
    return str(error) or "no answer in time"


@cache
def _script(name: str) -> tuple[str, str]:
    """Its text, and the digest that Redis knows it by."""
    text = files("gateway.storage.redis").joinpath("scripts", f"{name}.lua").read_text("utf-8")
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
