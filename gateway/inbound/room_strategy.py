"""The `room` strategy: LiveKit creates the room with its agent, then Jambonz dials into it."""

from collections.abc import Callable, Mapping

import structlog

from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.calls.callers import MAX_HEADER_VALUE, cut, plain_user
from gateway.calls.outcomes import TransferKind
from gateway.config.settings import Config
from gateway.errors import LiveKitError
from gateway.jambonz import verbs
from gateway.jambonz.urls import REFER_HOOK, hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.deadlines import transfer_timeout
from gateway.livekit.client import LiveKit
from gateway.livekit.metadata import job_metadata, room_metadata
from gateway.livekit.rooms import DEPARTURE_TIMEOUT, RoomRequest
from gateway.transfers.fallback import UNAVAILABLE, Fallback

log = structlog.get_logger()

#: How long after LiveKit's 200 Jambonz has joined the two legs, in s: what the agent says before is
#: lost or heard twice. Measured with jambonz-feature-server 0.9.8 and sbc-inbound 0.9.9, where the
#: caller hears a ringing tone and where they hear none.
AUDIBLE_AFTER = 0.5
AUDIBLE_AFTER_SILENCE = 0.7


class RoomStrategy:
    """inbound.strategy: room. `clock` in ms since epoch."""

    def __init__(
        self, config: Config, *, livekit: LiveKit, fallback: Fallback, clock: Callable[[], int]
    ) -> None:
        self._config = config
        self._livekit = livekit
        self._fallback = fallback
        self._clock = clock
        # The same for each call.
        self._dial_options = config.livekit_dial
        has_tone = config.inbound.dial_options.ringing_tone
        self._audible_after = AUDIBLE_AFTER if has_tone else AUDIBLE_AFTER_SILENCE
        self._transfer_ms = transfer_timeout(config, TransferKind.ANNOUNCED)

    async def prepare(
        self,
        call: Call,
        *,
        audible_after: float | None = None,
        enqueues: bool = False,
        session_options: Mapping[str, object] | None = None,
    ) -> Event:
        """Have LiveKit create the room and dispatch the agent.

        `audible_after` is how long after LiveKit's leg was answered the caller hears the agent, in
        s; None for a leg that Jambonz dials. `enqueues`: the caller waits in a Jambonz queue
        meanwhile.
        """
        if audible_after is None:
            audible_after = self._audible_after
        extras: dict[str, object] = {
            "audible_after": audible_after,
            "transfer_timeout": self._transfer_ms / 1000,
            **({"session_options": session_options} if session_options else {}),
        }
        request = RoomRequest(
            name=call.call_id,
            agent_name=call.agent_name,
            metadata=room_metadata(call, own_url=self._config.own_url, enqueues=enqueues),
            job_metadata=job_metadata(call, own_url=self._config.own_url, extras=extras),
            empty_timeout=round(self._config.inbound.registered_timeout),
            departure_timeout=self._departure_timeout,
        )
        try:
            room_sid = await self._livekit.create_room(request)
        except LiveKitError as error:
            log.error("call.livekit_failed", call_id=call.call_id, error=str(error))
            at = self._clock()
            return Event(EventKind.LIVEKIT_FAILED, at, sip=UNAVAILABLE, detail=str(error))
        return Event(EventKind.ROOM_CREATED, self._clock(), ids={"room_sid": room_sid})

    @property
    def _departure_timeout(self) -> int:
        """In s: while a target decides on an announced transfer only the agent is in the room."""
        if not self._config.transfer.allowed:
            return DEPARTURE_TIMEOUT
        return self._transfer_ms // 1000 + DEPARTURE_TIMEOUT

    def connect(self, call: Call) -> Verbs:
        livekit = self._config.livekit
        dial = verbs.dial_room(
            f"sip:{call.call_id}@{livekit.sip_address};transport={livekit.sip_transport}",
            action_hook=self._fallback.action_hook(0, call),
            refer_hook=hook_url(self._config.server.public_url, REFER_HOOK),
            headers=call_headers(call),
            options=self._dial_options,
            credentials=self._config.trunks.inbound_credentials,
            # Of a call that Jambonz made, the A leg's caller is our own number.
            caller_id=plain_user(call.to_number) if call.direction is Direction.OUTBOUND else "",
        )
        return [dial]


def call_headers(call: Call) -> dict[str, str]:
    """SIP headers for LiveKit's leg; the trunk that `setup` created makes attributes of them.

    `X-Transfer-Reason` (`sip.h.x-transfer-reason`) tells the agent why its caller comes back.
    """
    transfer = call.transfer if call.transfer and call.transfer.kind.leaves_agent else None
    headers = {
        "X-Call-Id": call.call_id,
        "X-Account-Code": cut(call.account_code, MAX_HEADER_VALUE),
        "X-Transfer-Reason": transfer.reason if transfer and transfer.reason else "",
    }
    return {name: value for name, value in headers.items() if value}
