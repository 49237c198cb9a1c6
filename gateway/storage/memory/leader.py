"""Leader election of a single gateway: it is always the leader."""


class SingleNode:
    """See LeaderLock."""

    async def acquire(self) -> bool:
        return True

    async def release(self) -> None: ...
