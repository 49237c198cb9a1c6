"""SIP participants in LiveKit's rooms: dialed, checked, transferred by REFER, removed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from livekit import api
from livekit.protocol.sip import (
    CreateSIPParticipantRequest,
    SIPTransferStatus,
    TransferSIPParticipantRequest,
)

from gateway.calls.call import Call
from gateway.errors import LiveKitRefused
from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import RoomParticipant

#: How much longer than the ringing a dial or a transfer may take, in s.
DIAL_MARGIN = 5


@dataclass(frozen=True, slots=True)
class SipParticipantRequest:
    """A SIP participant to dial into `room`. Timeouts in s.

    LiveKit dials `to` through the outbound trunk `trunk_id`, or at `hostname` if that is given.
    With `play_dialtone` those in the room hear it ring.
    """

    room: str
    to: str
    identity: str
    trunk_id: str = ""
    hostname: str = ""
    from_number: str = ""
    display_name: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    ringing_timeout: int = 30
    max_call_duration: int = 3600
    play_dialtone: bool = False


class SipParticipants:
    """Raises LiveKitRefused, with the far end's SIP status if it sent one, or LiveKitUnreachable.

    A dial or a transfer is never repeated: a repetition could be a second call. After
    LiveKitUnreachable it may have succeeded, or not.
    """

    def __init__(self, livekit: LiveKit) -> None:
        self._livekit = livekit

    async def dial(self, participant: SipParticipantRequest) -> None:
        """Send the INVITE and return once the far end has answered."""
        request = CreateSIPParticipantRequest(
            room_name=participant.room,
            sip_call_to=participant.to,
            sip_trunk_id=participant.trunk_id,
            sip_number=participant.from_number,
            participant_identity=participant.identity,
            participant_name=participant.display_name,
            headers=participant.headers,
            wait_until_answered=True,
            play_dialtone=participant.play_dialtone,
        )
        request.ringing_timeout.seconds = participant.ringing_timeout
        request.max_call_duration.seconds = participant.max_call_duration
        if participant.display_name:
            request.display_name = participant.display_name
        if participant.hostname:
            request.trunk.hostname = participant.hostname
        await self._livekit.call_once(
            lambda client: client.sip.create_sip_participant(request),
            timeout=participant.ringing_timeout + DIAL_MARGIN,
        )

    async def status(self, call: Call) -> str | None:
        """The `RoomParticipant.status` of the call's own leg; None if it is not in the room."""
        leg = await self._callers_leg(call)
        return leg.status if leg else None

    async def transfer(self, call: Call, to: str, *, ringing_timeout: int) -> None:
        """Transfer the call's own leg to `to` (`tel:` or `sip:`) by REFER (RFC 3515).

        `ringing_timeout` in s. Returns once the far end reports that the transfer succeeded.
        """
        leg = await self._callers_leg(call)
        if leg is None:
            raise LiveKitRefused(
                api.ServerErrorCode.NOT_FOUND, "the caller's leg is not in the room", status=404
            )
        request = TransferSIPParticipantRequest(
            room_name=call.call_id, participant_identity=leg.identity, transfer_to=to
        )
        request.ringing_timeout.seconds = ringing_timeout
        response = await self._livekit.call_once(
            lambda client: client.sip.transfer_sip_participant(request),
            timeout=ringing_timeout + DIAL_MARGIN,
        )
        # livekit-server 1.13 leaves the response empty where the transfer succeeded.
        if response.status == SIPTransferStatus.STS_TRANSFER_FAILED:
            meta = {
                "sip_status_code": str(int(response.sip_status.code)),
                "sip_status": response.sip_status.status,
            }
            raise LiveKitRefused("failed", "the transfer failed", status=200, meta=meta)

    async def remove(self, call: Call) -> None:
        """Hang up the call's own leg; no error if it is not in the room."""
        if leg := await self._callers_leg(call):
            await self._livekit.remove_participant(call.call_id, leg.identity)

    async def _callers_leg(self, call: Call) -> RoomParticipant | None:
        participants = await self._livekit.room_participants(call.call_id)
        return participants.caller_leg(call)
