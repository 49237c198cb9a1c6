"""SIP legs in LiveKit's rooms: dialed, looked at, referred to somebody else, put out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from livekit import api
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.sip import (
    CreateSIPParticipantRequest,
    SIPTransferStatus,
    TransferSIPParticipantRequest,
)

from gateway.errors import LiveKitRefused
from gateway.livekit.client import LiveKit

#: How much longer than its ringing a dial may take, in s.
DIAL_MARGIN = 5


@dataclass(frozen=True, slots=True)
class DialOrder:
    """A SIP leg to make into `room`. Time-outs in s.

    It goes through the outbound trunk `trunk_id`, or straight to `hostname` if there is one.
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


class SipLegs:
    """Raises LiveKitRefused, with the far end's SIP status where it has one, LiveKitUnreachable.

    What makes or moves a leg is never repeated: a second try could be a second call.
    LiveKitUnreachable then leaves open what came of it.
    """

    def __init__(self, livekit: LiveKit) -> None:
        self._livekit = livekit

    async def dial(self, order: DialOrder) -> None:
        """Ring the far end and wait until it answers."""
        request = CreateSIPParticipantRequest(
            room_name=order.room,
            sip_call_to=order.to,
            sip_trunk_id=order.trunk_id,
            sip_number=order.from_number,
            participant_identity=order.identity,
            participant_name=order.display_name,
            headers=order.headers,
            wait_until_answered=True,
        )
        request.ringing_timeout.seconds = order.ringing_timeout
        request.max_call_duration.seconds = order.max_call_duration
        if order.display_name:
            request.display_name = order.display_name
        if order.hostname:
            request.trunk.hostname = order.hostname
        await self._livekit.call_once(
            lambda client: client.sip.create_sip_participant(request),
            deadline=order.ringing_timeout + DIAL_MARGIN,
        )

    async def status(self, room: str) -> str | None:
        """`sip.callStatus` of the leg in `room` (dialing, ringing, active, …); None if none."""
        leg = await self._leg(room)
        return leg.attributes.get("sip.callStatus", "") if leg else None

    async def transfer(self, room: str, to: str, *, ringing_timeout: int) -> None:
        """Have the leg's far end call `to` (`tel:` or `sip:`) in our place, by REFER (RFC 3515).

        `ringing_timeout` in s. Returns once the far end has taken it over.
        """
        leg = await self._leg(room)
        if leg is None:
            raise LiveKitRefused(
                api.ServerErrorCode.NOT_FOUND, "the room has no SIP leg", status=404
            )
        request = TransferSIPParticipantRequest(
            room_name=room, participant_identity=leg.identity, transfer_to=to
        )
        request.ringing_timeout.seconds = ringing_timeout
        answer = await self._livekit.call_once(
            lambda client: client.sip.transfer_sip_participant(request),
            deadline=ringing_timeout + DIAL_MARGIN,
        )
        # livekit-server 1.13 answers nothing at all where the transfer went well.
        if answer.status == SIPTransferStatus.STS_TRANSFER_FAILED:
            meta = {
                "sip_status_code": str(int(answer.sip_status.code)),
                "sip_status": answer.sip_status.status,
            }
            raise LiveKitRefused("failed", "the transfer failed", status=200, meta=meta)

    async def remove(self, room: str) -> None:
        """Hang up the leg in `room`; none there is fine."""
        leg = await self._leg(room)
        if leg:
            await self._livekit.remove_participant(room, leg.identity)

    async def _leg(self, room: str) -> ParticipantInfo | None:
        present = await self._livekit.participants(room)
        return next((who for who in present if who.kind == ParticipantInfo.Kind.SIP), None)
