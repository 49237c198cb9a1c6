"""asyncio helpers: background tasks that have an owner, and a bounded number of calls at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

import structlog

log = structlog.get_logger()

T = TypeVar("T")


class BackgroundTasks:
    """Tasks that run until they are done or their owner closes.

    asyncio keeps only a weak reference to a task, and reports its failure late or never.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, coroutine: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start `coroutine`; an exception that it raises is logged under `name`."""
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_done)
        return task

    async def close(self, *, grace: float = 0) -> None:
        """Give the tasks `grace` s to finish, then cancel those that still run."""
        if self._tasks and grace:
            await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("background_task.crashed", task=task.get_name(), exc_info=error)


async def run_forever(step: Callable[[], Awaitable[None]], *, pause: float = 1.0) -> None:
    """Run `step` again and again, `pause` s apart; a crash is logged and does not end it."""
    while True:
        try:
            await step()
        except Exception:
            log.exception("background_task.crashed", task=step.__qualname__)
        await asyncio.sleep(pause)


async def for_each(items: Iterable[T], do: Callable[[T], Awaitable[object]], *, limit: int) -> None:
    """`do` each of `items`, at most `limit` at a time; raises the first failure at the end.

    Each failure stops one of the `limit` workers. When all have failed, the remaining items are
    not tried: the cause is taken to be common to them.
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await do(item)

    outcomes = await asyncio.gather(*(worker() for _ in range(limit)), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
