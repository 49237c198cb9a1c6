"""The steps of a simulated call: each has a name, a timeout, and the moment when it was done."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from gateway.errors import GatewayError
from gateway.tools.terminal import Print

T = TypeVar("T")

NOT_RUNNING = "start the gateway (`make run`), or give its address with --url"


class StepFailed(GatewayError):
    """A step failed or took too long; the text begins with its name."""


@dataclass
class Steps:
    """Runs steps, prints a line for each, and records in `done` when each was done.

    Moments are in s since the steps began.
    """

    print_line: Print = lambda _: None
    done: dict[str, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.monotonic)

    async def run(
        self,
        name: str,
        step: Coroutine[Any, Any, T],
        *,
        timeout: float = 5.0,  # noqa: ASYNC109 - a step that takes too long is an error of its own
        describe: Callable[[T], str] = lambda _: "",
    ) -> T:
        """The result of `step`, which may take `timeout` s. Raises StepFailed."""
        try:
            result = await asyncio.wait_for(step, timeout)
        except TimeoutError as error:
            raise StepFailed(f"{name}: not within {timeout:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise StepFailed(f"{name}: {error}; {NOT_RUNNING}") from error
        except (GatewayError, aiohttp.ClientError) as error:
            raise StepFailed(f"{name}: {error}") from error
        self.done[name] = time.monotonic() - self._began
        self.print_line(f"{self.done[name]:8.3f} s  {name:<24} {describe(result)}".rstrip())
        return result
