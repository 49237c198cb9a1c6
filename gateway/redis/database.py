"""The keys of one gateway in Redis, its scripts, and the errors of redis-py as our own."""

import secrets
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any

from redis.exceptions import NoScriptError, RedisError

from gateway.errors import RegistryUnavailable
from gateway.redis.connect import Client


class Database:
    """Raises RegistryUnavailable for whatever keeps Redis from answering.

    All keys share a hash tag, so that a cluster keeps them in one place and scripts may use any of
    them. `name` tells this process from others.
    """

    def __init__(self, client: Client, prefix: str) -> None:
        self._client = client
        self._prefix = f"{{{prefix}}}:"
        self.name = secrets.token_hex(6)

    def key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    async def ask(self, *words: str | float) -> Any:
        """One Redis command."""
        try:
            return await self._client.execute_command(*words)
        except (RedisError, OSError, TimeoutError) as error:
            raise RegistryUnavailable(f"Redis: {error or type(error).__name__}") from error

    async def run(self, script: str, key: str, *arguments: str | float) -> Any:
        """The script of that name, on `key` and whatever else it finds by the prefix."""
        text, digest = _script(script)
        words = 1, key, self._prefix, *arguments
        try:
            return await self._client.execute_command("EVALSHA", digest, *words)
        except NoScriptError:
            return await self.ask("EVAL", text, *words)
        except (RedisError, OSError, TimeoutError) as error:
            raise RegistryUnavailable(f"Redis: {error or type(error).__name__}") from error


@cache
def _script(name: str) -> tuple[str, str]:
    """Its text, and the digest that Redis knows it by."""
    text = files("gateway.redis").joinpath("scripts", f"{name}.lua").read_text("utf-8")
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
