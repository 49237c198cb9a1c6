"""What happens in a call as far as it is up to the people in it; rolled before it begins. Pure."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from gateway.calls.call import Direction
from tests.chaos.dice import Dice

T = TypeVar("T")


class AgentPart(StrEnum):
    TALKS = "talks"
    NEVER_COMES = "never comes"
    DIES = "dies without a word"
    FAILS = "fails and says so"


class Ending(StrEnum):
    """Who ends the talk, if all goes well until then."""

    CALLER = "the caller hangs up"
    GIVES_UP = "given up while it rings"
    AGENT_LEAVES = "the agent leaves"
    AGENT_DELETES = "the agent deletes the room"
    AGENT_REFERS = "the agent hands it on"
    OPS_HANG_UP = "somebody asks for its end"
    OPS_TRANSFER = "somebody asks for it to be handed on"
    NOBODY = "the longest duration"


class Callee(StrEnum):
    ANSWERS = "answers"
    BUSY = "486 Busy here"
    DECLINES = "603 Decline"
    FORBIDDEN = "403 Forbidden auth ID"
    SILENT = "does not answer"
    UNSEEN = "answers, and nobody is told"


_AGENTS = {
    AgentPart.TALKS: 86,
    AgentPart.NEVER_COMES: 4,
    AgentPart.DIES: 5,
    AgentPart.FAILS: 5,
}
_ENDINGS = {
    Ending.CALLER: 46,
    Ending.GIVES_UP: 8,
    Ending.AGENT_LEAVES: 12,
    Ending.AGENT_DELETES: 12,
    Ending.AGENT_REFERS: 8,
    Ending.OPS_HANG_UP: 6,
    Ending.OPS_TRANSFER: 6,
    Ending.NOBODY: 2,
}
_CALLEES = {
    Callee.ANSWERS: 60,
    Callee.BUSY: 10,
    Callee.DECLINES: 6,
    Callee.FORBIDDEN: 8,
    Callee.SILENT: 8,
    Callee.UNSEEN: 8,
}
#: How those answer whom a call is handed on to.
_TARGETS = {200: 60, 486: 25, 603: 15}
_WAITS = {"early": 70, "none": 15, "answer": 15}

#: What every call of the world is marked with; it comes back in whatever is said of it.
CODE = "chaos-"


@dataclass(frozen=True, slots=True)
class Script:
    """Times in s. `ring`: until the callee answers, or the caller gives up.

    `twice`: n8n asks for the call twice at once. `breaks_off`: its first connection ends then.
    """

    number: int
    direction: Direction
    agent: AgentPart
    agent_delay: float
    tells_ready: bool
    tells_end: bool
    ending: Ending
    callee: Callee
    ring: float
    talk: float
    target: int
    twice: bool
    breaks_off: float | None
    wait: str

    @property
    def caller_hangs_up(self) -> bool:
        """Also who would have given up, had they not been answered before.

        Only a dispatch can say how long its call may last.
        """
        endless = self.ending is Ending.NOBODY and self.direction is Direction.OUTBOUND
        return not endless and self.ending in {Ending.CALLER, Ending.GIVES_UP, Ending.NOBODY}

    @property
    def account_code(self) -> str:
        return f"{CODE}{self.number}"


def write(number: int, dice: Dice) -> Script:
    """The script of call `number`."""
    roll = dice.of("script")
    return Script(
        number=number,
        direction=roll.choice([Direction.INBOUND, Direction.OUTBOUND]),
        agent=_pick(roll, _AGENTS),
        agent_delay=roll.uniform(0.05, 0.3),
        tells_ready=roll.random() > 0.05,
        tells_end=roll.random() > 0.05,
        ending=_pick(roll, _ENDINGS),
        callee=_pick(roll, _CALLEES),
        ring=roll.uniform(0.1, 1.5),
        talk=roll.uniform(0.2, 2.5),
        target=_pick(roll, _TARGETS),
        twice=roll.random() < 0.1,
        breaks_off=roll.uniform(0.01, 1.0) if roll.random() < 0.1 else None,
        wait=_pick(roll, _WAITS),
    )


def number_of(account_code: str) -> int:
    """The number of the call that is marked so."""
    return int(account_code.removeprefix(CODE))


def _pick(roll: random.Random, shares: Mapping[T, int]) -> T:
    return roll.choices(list(shares), list(shares.values()))[0]
