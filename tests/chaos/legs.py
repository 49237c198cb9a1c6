"""Telephones: a leg rings, talks and is over; how long somebody stays on the line."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

from tests.chaos.scene import Scene

#: How long somebody listens to silence, in s. Where all that told of it was lost a gateway sees an
#: agent missing 10 s after the answer, at the next comparison, and ends the call 2 s later; Redis
#: away, and a gateway killed whose turn it was to watch, add some 8 s.
PATIENCE = 30.0
#: Longer, in s, than any deadline there is for a call.
LONGEST = 75.0


class State(StrEnum):
    RINGING = "ringing"
    ACTIVE = "active"
    OVER = "over"


class Leg:
    """One telephone as the other side of the call sees it. `sip`: how it answered."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.state = State.RINGING
        self.was_active = False
        self.sip = 200
        #: Asks this leg's telephone to call somebody else (REFER); its SIP status.
        self.refer: Callable[[str], Awaitable[int]] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether nobody is there to be heard."""
        return False

    def answer(self) -> None:
        self.state, self.was_active = State.ACTIVE, True
        self.scene.changed()

    def end(self, sip: int = 200) -> None:
        if self.state is not State.OVER:
            self.state, self.sip = State.OVER, sip
            self.scene.changed()

    def hang_up(self) -> None:
        """Its telephone hangs up, or stops ringing."""
        self.end()


class Desk(Leg):
    """A person somewhere else: callers fall back to them, or are handed on to them."""

    def __init__(self, scene: Scene, *, rings: float, sip: int) -> None:
        super().__init__(scene)
        scene.crew.start(self._dequeue(rings, sip), f"desk of {scene.script.number}")

    async def _dequeue(self, rings: float, sip: int) -> None:
        await asyncio.sleep(rings)
        if self.state is not State.RINGING:
            return
        if sip == 200:
            self.answer()
        else:
            self.end(sip)


async def stay(leg: Leg, over: Callable[[], object], *, talk: float | None) -> bool:
    """Be on the line until it is `over`; True if our side hangs up: after `talk` s, if that long.

    Nobody listens to silence for ever, and without `talk` it is not ours to end the call: both
    are complaints.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + (LONGEST if talk is None else talk)
    silent_since: float | None = None
    while not over():
        now = loop.time()
        silent_since = (silent_since or now) if leg.is_silent else None
        if silent_since and now - silent_since > PATIENCE:
            leg.scene.complaints.append(f"left in silence for {PATIENCE:g} s")
            return True
        if now >= ends:
            if talk is None:
                leg.scene.complaints.append(f"still on the line after {LONGEST:g} s")
            return True
        await leg.scene.until(over, within=min(0.5, ends - now))
    return False
