"""Looks up host names without a thread: a name that gets no answer holds up no other.

The event loop looks names up in a few threads, which all connections share, and a name server that
does not answer blocks one for half a minute. c-ares needs none. It reads /etc/hosts and
/etc/resolv.conf; other sources of nsswitch.conf are not asked.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import Self

import aiodns
import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

#: Name servers as `address:port`; None for those of /etc/resolv.conf.
NAME_SERVERS: Sequence[str] | None = None
#: How long a lookup may take, in s, and after how long a name server is asked again.
TIMEOUT = 3.0
REPEAT = 1.0
#: How long addresses are used before the name is looked up again, in s.
FRESH = 10.0
#: How long a new lookup is waited for where older addresses are known, in s.
PATIENCE = 0.05
#: Hosts whose addresses are stored at most.
MAX_HOSTS = 256
#: c-ares' errors of a name that does not exist or has no address: asking again changes nothing.
_NO_SUCH_NAME = {aiodns.error.ARES_ENOTFOUND, aiodns.error.ARES_ENODATA, aiodns.error.ARES_EBADNAME}

_Key = tuple[str, int]


class LookupFailed(OSError):
    """A host's addresses are not known; `is_final` if the name server says that it has none."""

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class Resolver(AbstractResolver):
    """The resolver of aiohttp connectors that have no cache of their own.

    A host is looked up once at a time, however many wait for it. Addresses that are older than
    `FRESH` are used for as long as no name server answers.
    """

    def __init__(self) -> None:
        self._cares = aiohttp.AsyncResolver(nameservers=NAME_SERVERS, timeout=REPEAT, tries=4)
        self._lookups: dict[_Key, asyncio.Task[list[ResolveResult]]] = {}
        self._known: dict[_Key, tuple[float, list[ResolveResult]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises LookupFailed within `TIMEOUT`."""
        key = host, family
        known_at, known = self._known.get(key, (0.0, []))
        if not known or time.monotonic() - known_at >= FRESH:
            lookup = self._lookup(key)
            await asyncio.wait({lookup}, timeout=PATIENCE if known else None)
            # What was found may have been dropped for other hosts by now.
            known = self._known.get(key, (0.0, known))[1] or lookup.result()
        return [{**address, "port": port} for address in known]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        lookups = list(self._lookups.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)
        await self._cares.close()

    def _lookup(self, key: _Key) -> asyncio.Task[list[ResolveResult]]:
        """The lookup that is under way, or a new one."""
        if key not in self._lookups:
            self._lookups[key] = asyncio.create_task(self._look_up(key))
            self._lookups[key].add_done_callback(lambda task: self._on_done(key, task))
        return self._lookups[key]

    def _on_done(self, key: _Key, task: asyncio.Task[list[ResolveResult]]) -> None:
        del self._lookups[key]
        if not task.cancelled():
            task.exception()  # whoever waits for the task gets it; maybe nobody does any more

    async def _look_up(self, key: _Key) -> list[ResolveResult]:
        host, family = key
        try:
            async with asyncio.timeout(TIMEOUT):
                found = await self._cares.resolve(host, 0, socket.AddressFamily(family))
        except TimeoutError:
            raise LookupFailed(f"no name server answers for {host}") from None
        except OSError as error:
            code = error.__cause__.args[0] if error.__cause__ else None
            if code in _NO_SUCH_NAME:
                raise LookupFailed(f"{host} is no name with an address", is_final=True) from error
            raise LookupFailed(f"no name server answers for {host}") from error
        self._known.pop(key, None)
        self._known[key] = time.monotonic(), found
        if len(self._known) > MAX_HOSTS:
            del self._known[next(iter(self._known))]
        return found
