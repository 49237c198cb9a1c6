"""Leader election: of gateways that share a storage, one runs deadlines and reconciliation."""

from typing import Protocol


class LeaderLock(Protocol):
    async def acquire(self) -> bool:
        """Become the leader, or stay it; False while another gateway is. Raises StorageUnavailable.

        The lock expires unless it is acquired again and again.
        """

    async def release(self) -> None:
        """Let another gateway become the leader at once."""
