"""Warm transfers: LiveKit dials the target into the room of the caller and the agent.

That it rings, answers and leaves shows by its leg in the room: see calls/attribution.py.
"""

import secrets

from gateway.calls.call import Call
from gateway.calls.destinations import Destination
from gateway.config.settings import DURATION_MARGIN, Config
from gateway.errors import ApiError, ErrorCode
from gateway.livekit.sip import SipParticipantRequest, SipParticipants
from gateway.livekit.trunks import NO_TRUNK, OutboundTrunk


class WarmTransfers:
    def __init__(self, config: Config, *, sip: SipParticipants, trunk: OutboundTrunk) -> None:
        self._config = config
        self._sip = sip
        self._trunk = trunk

    async def dial(self, call: Call, destination: Destination) -> None:
        """Return once the target has answered. Raises ApiError, LiveKitError."""
        trunk_id = "" if destination.hostname else await self._trunk.for_dispatch()
        if not (trunk_id or destination.hostname):
            raise ApiError(ErrorCode.NO_TRUNK, NO_TRUNK)
        await self._sip.dial(
            SipParticipantRequest(
                room=call.call_id,
                to=destination.user,
                identity=f"transfer-{secrets.token_hex(4)}",
                trunk_id=trunk_id,
                hostname=destination.hostname,
                from_number=self._config.outbound.default_caller,
                ringing_timeout=self._config.transfer.ringing_timeout,
                max_call_duration=call.max_call_duration + DURATION_MARGIN,
                play_dialtone=True,
            )
        )
