"""Many slow questions at once, but not all of them: a bounded number at a time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


async def for_each(items: Iterable[T], do: Callable[[T], Awaitable[object]], *, limit: int) -> None:
    """`do` each of `items`; raises the first failure, once all is done that can be.

    Each failure leaves one less at work: `at_once` of them are taken to be everything's, and the
    rest is not tried.
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await do(item)

    outcomes = await asyncio.gather(*(worker() for _ in range(limit)), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
