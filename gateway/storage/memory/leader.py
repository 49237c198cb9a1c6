"""Leader election where there is one gateway: it always leads."""


class Alone:
    """There is only one gateway."""

    async def is_ours(self) -> bool:
        return True

    async def give_up(self) -> None: ...
