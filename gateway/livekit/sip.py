"""SIP participants in LiveKit's rooms: dialed, checked, transferred by REFER, removed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from livekit import api
from livekit.protocol.sip import (
    CreateSIPParticipantRequest,
    SIPTransferStatus,
    TransferSIPParticipantRequest,
)

from gateway.errors import LiveKitRefused
from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import SipParticipant

#: How much longer than the ringing a dial or a transfer may take, in s.
DIAL_MARGIN = 5


@dataclass(frozen=True, slots=True)
class SipParticipantRequest:
    """A SIP participant to dial into `room`. Timeouts in s.

    LiveKit dials `to` through the outbound trunk `trunk_id`, or at `hostname` if that is given.
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

    async def status(self, room: str) -> str | None:
        """The status of the room's SIP participant, see `SipParticipant`; None if it has none."""
        participant = await self._find(room)
        return participant.status if participant else None

    async def transfer(self, room: str, to: str, *, ringing_timeout: int) -> None:
        """Transfer the room's SIP participant to `to` (`tel:` or `sip:`) by REFER (RFC 3515).

        `ringing_timeout` in s. Returns once the far end reports that the transfer succeeded.
        """
        participant = await self._find(room)
        if participant is None:
            raise LiveKitRefused(
                api.ServerErrorCode.NOT_FOUND, "the room has no SIP participant", status=404
            )
        request = TransferSIPParticipantRequest(
            room_name=room, participant_identity=participant.identity, transfer_to=to
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

    async def remove(self, room: str) -> None:
        """Hang up the room's SIP participant; no error if it has none."""
        participant = await self._find(room)
        if participant:
            await self._livekit.remove_participant(room, participant.identity)

    async def _find(self, room: str) -> SipParticipant | None:
        participants = await self._livekit.room_participants(room)
        return next(iter(participants.sip), None)
