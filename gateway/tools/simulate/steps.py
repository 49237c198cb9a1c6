"""Steps of a simulated call: each has a name, a time limit, and a moment when it was done."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from gateway.errors import GatewayError

T = TypeVar("T")


class StepFailed(GatewayError):
    """A step did not happen; the text starts with its name."""


@dataclass
class Steps:
    """Runs steps and remembers when each was done, in s since the first one began."""

    say: Callable[[str], object] = lambda _: None
    done: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    async def run(
        self,
        name: str,
        step: Coroutine[Any, Any, T],
        *,
        limit: float = 5.0,
        show: Callable[[T], str] = lambda _: "",
    ) -> T:
        """The result of `step`, within `limit` s. Raises StepFailed."""
        try:
            result = await asyncio.wait_for(step, limit)
        except TimeoutError as error:
            raise StepFailed(f"{name}: did not happen within {limit:g} s") from error
        except (GatewayError, aiohttp.ClientError) as error:
            raise StepFailed(f"{name}: {error}") from error
        self.done[name] = time.monotonic() - self._began
        self.say(f"{self.done[name]:8.3f} s  {name:<24} {show(result)}".rstrip())
        return result
