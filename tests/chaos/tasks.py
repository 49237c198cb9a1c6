"""The background tasks of a simulation: which of them run, and whether one failed."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Tasks:
    """Tasks with names. One that fails is a defect of the simulation, not of a gateway."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._failure: BaseException | None = None

    def start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def names(self) -> list[str]:
        """The names of those that run."""
        return sorted(task.get_name() for task in self._tasks)

    def raise_failure(self) -> None:
        """Raises the exception of the first task that failed."""
        if self._failure:
            raise self._failure

    async def cancel(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._failure = self._failure or error
