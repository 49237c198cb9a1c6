"""Leader election where there is one gateway: it always leads."""


class SingleNode:
    """There is only one gateway."""

    async def acquire(self) -> bool:
        return True

    async def release(self) -> None: ...
