"""Whose turn it is to watch, where several gateways share a registry. No I/O here."""

from typing import Protocol


class LeaderLock(Protocol):
    async def acquire(self) -> bool:
        """Whether this gateway watches now. Raises RegistryUnavailable."""

    async def release(self) -> None:
        """Another one may watch from now on."""
