"""Whose turn it is to watch, where several gateways share a registry. No I/O here."""

from typing import Protocol


class Turn(Protocol):
    async def is_ours(self) -> bool:
        """Whether this gateway watches now. Raises RegistryUnavailable."""

    async def give_up(self) -> None:
        """Another one may watch from now on."""
