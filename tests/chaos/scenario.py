"""What the people and the agent in a call do, drawn at random before it begins. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from gateway.calls.call import Direction
from tests.chaos.seeded_random import SeededRandom

T = TypeVar("T")


class AgentBehavior(StrEnum):
    TALKS = "talks"
    NEVER_JOINS = "never joins"
    DIES = "its process dies"
    FAILS = "fails and reports it"


class Ending(StrEnum):
    """Who ends the conversation, unless something else ends the call before."""

    CALLER_HANGS_UP = "the caller hangs up"
    GIVES_UP = "the call is given up while it rings"
    AGENT_LEAVES = "the agent leaves the room"
    AGENT_DELETES_ROOM = "the agent deletes the room"
    AGENT_TRANSFERS = "the agent transfers the caller"
    API_HANGUP = "a client of the API ends the call"
    API_TRANSFER = "a client of the API transfers the call"
    MAX_DURATION = "the call reaches its longest duration"


class CalleeBehavior(StrEnum):
    ANSWERS = "answers"
    BUSY = "486 Busy here"
    DECLINES = "603 Decline"
    FORBIDDEN = "403 Forbidden auth ID"
    NO_ANSWER = "does not answer"
    RESPONSE_LOST = "answers, and LiveKit's response is lost"


_AGENTS = {
    AgentBehavior.TALKS: 86,
    AgentBehavior.NEVER_JOINS: 4,
    AgentBehavior.DIES: 5,
    AgentBehavior.FAILS: 5,
}
_ENDINGS = {
    Ending.CALLER_HANGS_UP: 46,
    Ending.GIVES_UP: 8,
    Ending.AGENT_LEAVES: 12,
    Ending.AGENT_DELETES_ROOM: 12,
    Ending.AGENT_TRANSFERS: 8,
    Ending.API_HANGUP: 6,
    Ending.API_TRANSFER: 6,
    Ending.MAX_DURATION: 2,
}
_CALLEES = {
    CalleeBehavior.ANSWERS: 60,
    CalleeBehavior.BUSY: 10,
    CalleeBehavior.DECLINES: 6,
    CalleeBehavior.FORBIDDEN: 8,
    CalleeBehavior.NO_ANSWER: 8,
    CalleeBehavior.RESPONSE_LOST: 8,
}
#: SIP statuses with which the target of a transfer answers.
_TARGETS = {200: 60, 486: 25, 603: 15}
_WAITS = {"early": 70, "none": 15, "answer": 15}

#: The account code of each call begins so, and ends with its number. Hooks, dispatches and
#: callbacks carry it.
ACCOUNT_CODE = "chaos-"


@dataclass(frozen=True, slots=True)
class Scenario:
    """Times in s. After `ringing_time` the callee answers, or the caller gives up.

    `target_status` is the SIP status of a transfer's target. n8n dispatches the call a second time
    at once if it `is_dispatched_twice`, and closes its first connection after `disconnects_after`.
    """

    number: int
    direction: Direction
    agent: AgentBehavior
    agent_delay: float
    reports_ready: bool
    reports_end: bool
    ending: Ending
    callee: CalleeBehavior
    ringing_time: float
    talking_time: float
    target_status: int
    is_dispatched_twice: bool
    disconnects_after: float | None
    wait: str

    @property
    def caller_hangs_up(self) -> bool:
        """Also a caller who would have given up, but was answered before.

        Only a dispatch sets the longest duration of its call.
        """
        if self.ending is Ending.MAX_DURATION:
            return self.direction is Direction.INBOUND
        return self.ending in {Ending.CALLER_HANGS_UP, Ending.GIVES_UP}

    @property
    def account_code(self) -> str:
        return f"{ACCOUNT_CODE}{self.number}"


def draw_scenario(number: int, seeded: SeededRandom) -> Scenario:
    """The scenario of call `number`."""
    rng = seeded.generator("scenario")
    return Scenario(
        number=number,
        direction=rng.choice([Direction.INBOUND, Direction.OUTBOUND]),
        agent=_draw(rng, _AGENTS),
        agent_delay=rng.uniform(0.05, 0.3),
        reports_ready=rng.random() > 0.05,
        reports_end=rng.random() > 0.05,
        ending=_draw(rng, _ENDINGS),
        callee=_draw(rng, _CALLEES),
        ringing_time=rng.uniform(0.1, 1.5),
        talking_time=rng.uniform(0.2, 2.5),
        target_status=_draw(rng, _TARGETS),
        is_dispatched_twice=rng.random() < 0.1,
        disconnects_after=rng.uniform(0.01, 1.0) if rng.random() < 0.1 else None,
        wait=_draw(rng, _WAITS),
    )


def number_of(account_code: str) -> int:
    """The number of the call with this account code."""
    return int(account_code.removeprefix(ACCOUNT_CODE))


def _draw(rng: random.Random, weights: Mapping[T, int]) -> T:
    return rng.choices(list(weights), list(weights.values()))[0]
