"""A resolver that refuses names with an address which is not permitted."""

import errno
import socket
from typing import Protocol

from aiohttp.abc import AbstractResolver, ResolveResult

from common.resolver import Resolver
from common.urls import UrlRejected


class AddressPolicy(Protocol):
    def check_address(self, host: str, address: str, port: int) -> None:
        """Raise UrlRejected unless `address`, which `host` has, is permitted."""


class AddressRejected(OSError):
    """A host has an address that may not be connected to; the text says why."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EACCES, message)

    def __str__(self) -> str:
        return str(self.args[1])


class GuardedResolver(AbstractResolver):
    """aiohttp connects to the addresses that were checked here, and looks none up again.

    It does not ask a resolver about a host that is an address already: check URLs first.
    """

    def __init__(self, resolver: Resolver, policy: AddressPolicy) -> None:
        self._resolver = resolver
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Raises AddressRejected, LookupFailed."""
        results = await self._resolver.resolve(host, port, family)
        try:
            for result in results:
                self._policy.check_address(host.removesuffix("."), result["host"], port)
        except UrlRejected as error:
            raise AddressRejected(str(error)) from error
        return results

    async def close(self) -> None:
        """The resolver is closed by whoever made it."""
