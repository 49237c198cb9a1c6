"""Whom LiveKit calls: they answer, or not, and end the talk or are handed on."""

import asyncio

from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.chaos.legs import State, stay
from tests.chaos.ops import end_it
from tests.chaos.rooms import LiveRoom, RoomLeg
from tests.chaos.script import Callee, Ending
from tests.fakes.livekit import Drop, Failure, TwirpError

_REFUSALS = {
    Callee.BUSY: (486, "Busy here"),
    Callee.DECLINES: (603, "Decline"),
    Callee.FORBIDDEN: (403, "Forbidden auth ID"),
}
_CANCELED = TwirpError(408, "canceled", "the call was canceled")
_NO_ANSWER = TwirpError(408, "deadline_exceeded", "the callee did not answer")


async def ring(room: LiveRoom, order: CreateSIPParticipantRequest) -> Failure | None:
    """Ring the callee as LiveKit is asked to; what comes of it, None if they have answered."""
    script = room.scene.script
    room.scene.dialed.append(room.name)
    leg = RoomLeg(room, order.participant_identity, waits_for_agent=False)
    if script.ending is Ending.GIVES_UP:
        room.scene.crew.start(end_it(room), f"ops for {room.name}")
    if script.callee is Callee.SILENT:
        limit = float(order.ringing_timeout.seconds)
        if await room.scene.until(lambda: leg.state is State.OVER, within=limit):
            return _CANCELED
        leg.hang_up()
        return _NO_ANSWER
    if await room.scene.until(lambda: leg.state is State.OVER, within=script.ring):
        return _CANCELED
    if script.callee in _REFUSALS:
        leg.hang_up()
        return _refused(*_REFUSALS[script.callee])
    leg.answer()
    room.scene.crew.start(_talk(leg), f"callee of {room.name}")
    return Drop() if script.callee is Callee.UNSEEN else None


async def _talk(leg: RoomLeg) -> None:
    script = leg.scene.script

    async def call_another(_: str) -> int:
        """The trunk's far end does it for us; it hangs up once they have answered."""
        await asyncio.sleep(0.1)
        if script.target == 200:
            leg.scene.crew.start(_bye(leg), f"bye in {leg.room.name}")
        return script.target

    leg.refer = call_another
    if script.ending in {Ending.OPS_HANG_UP, Ending.OPS_TRANSFER}:
        leg.scene.crew.start(end_it(leg.room), f"ops for {leg.room.name}")
    talk = script.talk if script.caller_hangs_up else None
    if await stay(leg, lambda: leg.state is State.OVER, talk=talk):
        leg.hang_up()


async def _bye(leg: RoomLeg) -> None:
    await asyncio.sleep(0.05)
    leg.hang_up()


def _refused(status: int, reason: str) -> TwirpError:
    meta = {"sip_status_code": str(status), "sip_status": reason}
    return TwirpError(403, "permission_denied", f"{status} {reason}", meta)
