"""The resolver of callbacks: names that have an address which is not permitted are refused."""

import errno
import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from gateway.resolver import Resolver
from gateway.security.callback_policy import CallbackPolicy
from gateway.security.callback_urls import CallbackUrlRejected


class AddressRejected(OSError):
    """A host has an address that callbacks may not go to; the text says why."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EACCES, message)

    def __str__(self) -> str:
        return str(self.args[1])


class GuardedResolver(AbstractResolver):
    """aiohttp connects to the addresses that were checked here, and looks none up again."""

    def __init__(self, resolver: Resolver, policy: CallbackPolicy) -> None:
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
        except CallbackUrlRejected as error:
            raise AddressRejected(str(error)) from error
        return results

    async def close(self) -> None:
        """The resolver is closed by whoever made it."""
