"""Telephones: a leg rings, is active, is over; and how long a person stays on the line."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum

from tests.chaos.simulated_call import SimulatedCall

#: How long a person listens to silence, in s of the run's clock. If every report of a missing agent
#: was lost, a gateway sees it 10 s after the answer, when it reconciles, and ends the call 2 s
#: later. Some 8 s are added if Redis is stopped or takes no writes, or if the gateway that holds
#: the leader lock is killed; 10 s if LiveKit was down, whose lists prove nothing for so long.
SILENCE_TIMEOUT = 45.0
#: In s, longer than any time limit of a call.
CALL_TIMEOUT = 75.0


class State(StrEnum):
    RINGING = "ringing"
    ACTIVE = "active"
    OVER = "over"


class Leg:
    """One telephone, as the other end sees it. `sip_status` is its final response."""

    def __init__(self, call: SimulatedCall) -> None:
        self.call = call
        self.state = State.RINGING
        self.was_active = False
        self.sip_status = 200
        #: Sends a REFER to a target with this leg; returns the SIP status.
        self.refer: Callable[[str], Awaitable[int]] | None = None

    @property
    def is_silent(self) -> bool:
        """Whether the other end hears no agent and no person."""
        return False

    def answer(self) -> None:
        self.state, self.was_active = State.ACTIVE, True
        self.call.changed()

    def end(self, sip_status: int = 200) -> None:
        if self.state is not State.OVER:
            self.state, self.sip_status = State.OVER, sip_status
            self.call.changed()

    def hang_up(self) -> None:
        """The telephone hangs up, or stops ringing."""
        self.end()


class OutsideLeg(Leg):
    """The telephone of a fallback or transfer target; it rings for `ringing_time` s."""

    def __init__(self, call: SimulatedCall, *, ringing_time: float, sip_status: int) -> None:
        super().__init__(call)
        ringing = self._ring(ringing_time, sip_status)
        call.tasks.start(ringing, f"outside leg of {call.scenario.number}")

    async def _ring(self, ringing_time: float, sip_status: int) -> None:
        await asyncio.sleep(ringing_time)
        if self.state is not State.RINGING:
            return
        if sip_status == 200:
            self.answer()
        else:
            self.end(sip_status)


async def stay_on_line(
    leg: Leg, is_over: Callable[[], object], *, talking_time: float | None
) -> bool:
    """Stay until `is_over`; True if the person here hangs up, after `talking_time` s.

    Without `talking_time` another party has to end the call. That none does is a problem, and so is
    silence that lasts too long.
    """
    clock = leg.call.clock
    end = clock.now + (CALL_TIMEOUT if talking_time is None else talking_time)
    heard_at = clock.now
    while not is_over():
        now = clock.now
        if not leg.is_silent:
            heard_at = now
        elif now - heard_at > SILENCE_TIMEOUT:
            leg.call.problems.append(f"left in silence for {SILENCE_TIMEOUT:g} s")
            return True
        if now >= end:
            if talking_time is None:
                leg.call.problems.append(f"still on the line after {CALL_TIMEOUT:g} s")
            return True
        await leg.call.wait_until(is_over, limit=min(0.5, end - now))
    return False
