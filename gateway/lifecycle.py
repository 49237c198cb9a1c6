"""The one way a call changes: advanced in the registry, logged, cleaned up behind when it ends."""

from collections.abc import Callable

import structlog

from gateway.calls import Call, Change, DisconnectionReason, Event
from gateway.registry import CallRegistry
from gateway.sweeper import Sweeper

log = structlog.get_logger()

#: Time for an agent to say goodbye to its room after the caller has left, in ms.
GOODBYE_MS = 5_000
_CALLER_WENT = {DisconnectionReason.USER_HANGUP, DisconnectionReason.CALL_TRANSFER}


class Lifecycle:
    def __init__(
        self,
        registry: CallRegistry,
        sweeper: Sweeper,
        *,
        on_change: Callable[[Change], None] = lambda _: None,
    ) -> None:
        self._registry = registry
        self._sweeper = sweeper
        self._on_change = on_change

    async def register(self, call: Call) -> Call:
        """Keep a new call; one with the same Jambonz `call_sid` is returned in its place."""
        kept = await self._registry.add(call)
        if kept is call:
            log.info(
                "call.registered",
                call_id=call.call_id,
                direction=call.direction,
                agent_name=call.agent_name,
                call_sid=call.jambonz.get("call_sid"),
            )
        return kept

    async def apply(self, call_id: str, event: Event) -> Call | None:
        """Let `event` happen to the call; None, and a log line, when there is no such call."""
        change = await self._registry.apply(call_id, event)
        if change is None:
            log.info("call.unknown", call_id=call_id, kind=event.kind)
            return None
        log.debug("call.event", call_id=call_id, kind=event.kind, detail=event.detail)
        if change.ended:
            self._conclude(change.after, event)
        elif change.answered:
            log.info("call.ongoing", call_id=call_id)
        self._on_change(change)
        return change.after

    def _conclude(self, call: Call, event: Event) -> None:
        talked = call.answer_timestamp is not None
        agent_alone = talked and call.disconnection_reason in _CALLER_WENT
        self._sweeper.doom(call.call_id, grace_ms=GOODBYE_MS if agent_alone else 0)
        log.info(
            "call.ended",
            call_id=call.call_id,
            call_status=call.call_status,
            reason=call.disconnection_reason,
            sip_status=call.sip.status if call.sip else None,
            duration_ms=call.duration_ms,
            detail=event.detail,
        )
