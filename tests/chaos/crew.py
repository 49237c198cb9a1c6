"""Everything that goes on at once: who is at it, and whether somebody failed."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Crew:
    """Tasks with names. One that fails is a defect of the world, not of the gateway."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    @property
    def busy(self) -> list[str]:
        """Who is still at it."""
        return sorted(task.get_name() for task in self._tasks)

    @property
    def size(self) -> int:
        return len(self._tasks)

    def check(self) -> None:
        """Raises what somebody failed with."""
        if self._failure:
            raise self._failure

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failure = self._failure or error
