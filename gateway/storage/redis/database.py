"""Commands and scripts in Redis, the names of the keys, and redis-py's errors as our own."""

import asyncio
import math
import re
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from hashlib import sha1
from importlib.resources import files
from typing import Any, Self

import structlog
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

from gateway.config.settings import StorageSettings
from gateway.errors import StorageRefused, StorageUnavailable
from gateway.storage.redis.connect import (
    MAX_CONNECTIONS,
    Client,
    connected,
    drop_idle_connections,
)
from gateway.telemetry import tracing
from gateway.telemetry.metrics import Observe, unobserved

#: Error replies about the state of Redis; any other one is about the command, and so a defect.
_STATES = re.compile(
    r"\b(OOM|MISCONF|READONLY|LOADING|BUSY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|NOGROUP|UNBLOCKED)\b"
)
_REFUSALS = (AuthenticationError, AuthorizationError, NoPermissionError)
#: What redis-py raises on purpose, and the operating system.
_FAILURES = (RedisError, RedisClusterException, OSError, TimeoutError)
#: The share of the timeout that the first attempt has.
FIRST_SHARE = 0.5
#: Idle connections are dropped once in so many s: those that remain are new, and to make them again
#: and again would keep a slow Redis from ever catching up.
DROP_INTERVAL = 10.0
#: How long the key that `probe()` writes is stored, in ms.
PROBE_TTL_MS = 60_000

log = structlog.get_logger()


class Database:
    """What all parts of the Redis backend use to talk to Redis.

    Raises StorageUnavailable if Redis does not answer within `timeout` (s), which includes the wait
    for a free connection; StorageRefused if it rejects the credentials or the command. All keys
    begin with `prefix` as their hash tag, so that a cluster stores them on one node and a script
    may use any of them. `gateway_id` is unique to this process.
    """

    def __init__(
        self, client: Client, prefix: str, *, timeout: float, observe: Observe = unobserved
    ) -> None:
        self._client = client
        self._prefix = f"{{{prefix}}}:"
        self._timeout = timeout
        self._observe = observe
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._dropped_at = -math.inf
        self.gateway_id = secrets.token_hex(6)

    @classmethod
    @asynccontextmanager
    async def open(
        cls, settings: StorageSettings, observe: Observe = unobserved
    ) -> AsyncIterator[Self]:
        """Connected by `settings`; `observe` is called with each command. Raises UnusableUrl."""
        async with connected(settings.url, connect_timeout=settings.timeout) as client:
            yield cls(client, settings.prefix, timeout=settings.timeout, observe=observe)

    def key(self, *parts: str) -> str:
        return self._prefix + ":".join(parts)

    async def execute(self, *command: str | float, script: str = "") -> Any:
        """Execute one Redis command; `script` is the name of the one that it runs, if it does."""
        began, problem = time.perf_counter(), "no_answer"
        try:
            with tracing.redis_command(str(command[0]), script):
                async with asyncio.timeout(self._timeout), self._slots:
                    result = await self._attempt_twice(command)
        except Exception as error:
            problem = _kind_of(error)
            if _is_defect(error):
                raise
            if not isinstance(error, _FAILURES):
                log.exception("storage.command_crashed", command=command[0])
            refused = isinstance(error, _REFUSALS)
            kind = StorageRefused if refused else StorageUnavailable
            raise kind(f"Redis: {_message(error)}") from error
        else:
            problem = ""
            return result
        finally:
            self._observe(script or str(command[0]), time.perf_counter() - began, problem)

    async def _attempt_twice(self, command: Sequence[str | float]) -> Any:
        """Idle connections may have gone silent: after half the time the command gets a new one.

        All commands may be executed twice, since redis-py repeats them, too.
        """
        try:
            async with asyncio.timeout(FIRST_SHARE * self._timeout) as limit:
                return await self._client.execute_command(*command)
        except TimeoutError:
            if not limit.expired():
                raise
        now = time.monotonic()
        if now - self._dropped_at > DROP_INTERVAL:
            self._dropped_at = now
            await drop_idle_connections(self._client)
        return await self._client.execute_command(*command)

    async def probe(self) -> None:
        """Write, as calls do: a Redis that is full, or a replica, answers reads only."""
        await self.execute("SET", self.key("probe"), self.gateway_id, "PX", PROBE_TTL_MS)

    async def run(self, script: str, key: str, *arguments: str | float) -> Any:
        """Run `scripts/<script>.lua` on `key`; its first argument is the prefix of all keys."""
        text, digest = _script(script)
        keys_and_arguments = 1, key, self._prefix, *arguments
        try:
            return await self.execute("EVALSHA", digest, *keys_and_arguments, script=script)
        except NoScriptError:
            return await self.execute("EVAL", text, *keys_and_arguments, script=script)


def _is_defect(error: Exception) -> bool:
    """Whether a retry would fail as well; NoScriptError is `run()`'s to handle."""
    if isinstance(error, NoScriptError | DataError):
        return True
    return type(error) is ResponseError and not _STATES.search(str(error))


def _kind_of(error: Exception) -> str:
    """A word for a metric; a script that Redis does not know yet is no failure."""
    if isinstance(error, NoScriptError):
        return ""
    return "refused" if isinstance(error, ResponseError | DataError) else "no_answer"


def _message(error: Exception) -> str:
    if isinstance(error, RedisClusterException):
        return "the cluster cannot be used now"  # its own text may repeat the command
    if not isinstance(error, _FAILURES):
        return f"the command has failed: {type(error).__name__}"
    return str(error) or "no answer in time"


@cache
def _script(name: str) -> tuple[str, str]:
    """The script's text, and the digest under which Redis caches it."""
    text = files("gateway.storage.redis").joinpath("scripts", f"{name}.lua").read_text("utf-8")
    return text, sha1(text.encode(), usedforsecurity=False).hexdigest()
