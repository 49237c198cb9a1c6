"""The steps of a simulated call: each has a name, a timeout, and the moment when it was done."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp

from gateway.errors import GatewayError
from gateway.tools.gateway_api import NOT_RUNNING
from gateway.tools.terminal import Waiting

T = TypeVar("T")


class StepFailed(GatewayError):
    """A step failed or took too long; the text begins with its name."""


@dataclass(frozen=True, slots=True)
class Step:
    """A step that is done: its name, when (s since the first began), and what came of it."""

    name: str
    at: float
    detail: str

    def as_text(self) -> str:
        return f"{self.at:8.3f} s  {self.name:<24} {self.detail}".rstrip()

    def as_json(self) -> str:
        return json.dumps({"step": self.name, "at_s": round(self.at, 3), "detail": self.detail})


def print_step(*, in_json: bool) -> Callable[[Step], object]:
    """What prints a step as a line."""
    return lambda step: print(step.as_json() if in_json else step.as_text(), flush=True)


@dataclass
class Steps:
    """Runs steps, shows each, and records in `done` when it was (s since they began)."""

    show: Callable[[Step], object] = lambda _: None
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
            with Waiting(name):
                result = await asyncio.wait_for(step, timeout)
        except TimeoutError as error:
            raise StepFailed(f"{name}: not within {timeout:g} s") from error
        except aiohttp.ClientConnectorError as error:
            raise StepFailed(f"{name}: {error}; {NOT_RUNNING}") from error
        except (GatewayError, aiohttp.ClientError) as error:
            raise StepFailed(f"{name}: {error}") from error
        self.done[name] = time.monotonic() - self._began
        self.show(Step(name, self.done[name], describe(result)))
        return result
