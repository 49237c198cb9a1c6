"""Simulated callees of LiveKit's outbound calls: they answer or not, talk, and are transferred."""

import asyncio

from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.chaos.api_client import end_by_api
from tests.chaos.legs import State, stay_on_line
from tests.chaos.rooms import SimulatedRoom, SipLeg
from tests.chaos.scenario import CalleeBehavior, Ending
from tests.fakes.livekit import Drop, Failure, TwirpError

_SIP_RESPONSES = {
    CalleeBehavior.BUSY: (486, "Busy here"),
    CalleeBehavior.DECLINES: (603, "Decline"),
    CalleeBehavior.FORBIDDEN: (403, "Forbidden auth ID"),
}
_CANCELED = TwirpError(408, "canceled", "the call was canceled")
_NO_ANSWER = TwirpError(408, "deadline_exceeded", "the callee did not answer")


async def dial(room: SimulatedRoom, request: CreateSIPParticipantRequest) -> Failure | None:
    """Dial the callee as LiveKit is asked to; what that fails with, None if they answer."""
    call, scenario = room.call, room.call.scenario
    call.dialed_rooms.append(room.name)
    leg = SipLeg(room, request.participant_identity, waits_for_agent=False)
    if scenario.ending is Ending.GIVES_UP:
        call.tasks.start(end_by_api(room), f"API client for {room.name}")
    if scenario.callee is CalleeBehavior.NO_ANSWER:
        limit = float(request.ringing_timeout.seconds)
        if await call.wait_until(lambda: leg.state is State.OVER, limit=limit):
            return _CANCELED
        leg.hang_up()
        return _NO_ANSWER
    if await call.wait_until(lambda: leg.state is State.OVER, limit=scenario.ringing_time):
        return _CANCELED
    if scenario.callee in _SIP_RESPONSES:
        leg.hang_up()
        return _sip_error(*_SIP_RESPONSES[scenario.callee])
    leg.answer()
    call.tasks.start(_talk(leg), f"callee of {room.name}")
    return Drop() if scenario.callee is CalleeBehavior.RESPONSE_LOST else None


async def _talk(leg: SipLeg) -> None:
    scenario = leg.call.scenario

    async def refer(_: str) -> int:
        """The carrier calls the target; the callee's leg ends once the target has answered."""
        await asyncio.sleep(0.1)
        if scenario.target_status == 200:
            leg.call.tasks.start(_hang_up_soon(leg), f"BYE in {leg.room.name}")
        return scenario.target_status

    leg.refer = refer
    if scenario.ending in {Ending.API_HANGUP, Ending.API_TRANSFER}:
        leg.call.tasks.start(end_by_api(leg.room), f"API client for {leg.room.name}")
    talking_time = scenario.talking_time if scenario.caller_hangs_up else None
    if await stay_on_line(leg, lambda: leg.state is State.OVER, talking_time=talking_time):
        leg.hang_up()


async def _hang_up_soon(leg: SipLeg) -> None:
    await asyncio.sleep(0.05)
    leg.hang_up()


def _sip_error(status: int, reason: str) -> TwirpError:
    meta = {"sip_status_code": str(status), "sip_status": reason}
    return TwirpError(403, "permission_denied", f"{status} {reason}", meta)
