"""The one way a call changes: advanced in the registry, logged, cleaned up behind when it ends."""

from collections.abc import Awaitable, Callable
from itertools import count

import structlog

from gateway.calls.call import Call, Change, DisconnectionReason, Event
from gateway.errors import StorageUnavailable
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.storage.registry import Added, CallRegistry

log = structlog.get_logger()

#: Time for an agent to say goodbye to its room after the caller has left, in ms.
GOODBYE_MS = 5_000
_CALLER_WENT = {DisconnectionReason.USER_HANGUP, DisconnectionReason.CALL_TRANSFER}


class Lifecycle:
    def __init__(
        self, registry: CallRegistry, room_cleanup: RoomCleanup, deferred: DeferredWrites
    ) -> None:
        self._registry = registry
        self._room_cleanup = room_cleanup
        self._deferred = deferred

    async def register(self, call: Call) -> Added:
        """Keep a new call; one with the same Jambonz `call_sid` is kept in its place.

        Raises RegistryUnavailable.
        """
        added = await self._registry.add(call)
        if added.is_new:
            log.info(
                "call.registered",
                call_id=call.call_id,
                direction=call.direction,
                agent_name=call.agent_name,
                call_sid=call.jambonz.get("call_sid"),
            )
        return added

    async def apply(self, call_id: str, event: Event) -> Call | None:
        """Let `event` happen to the call.

        None, and a log line, when there is no such call; None too while the registry is away: then
        it happens as soon as that is back.
        """
        after: list[Call] = []
        tries = count()

        async def write() -> None:
            if call := await self._apply(call_id, event, is_repeated=next(tries) > 0):
                after.append(call)

        await self._deferred.write(call_id, write)
        return after[0] if after else None

    async def apply_to(
        self,
        name: str,
        find: Callable[[str], Awaitable[Call | None]],
        event_of: Callable[[Call], Event],
    ) -> Call | None:
        """Let what `event_of` makes of it happen to the call that `find(name)` finds.

        Returns that call as it was before. None when there is none, and while the registry is away:
        then it is told later, after what was told by that name before.
        """
        found: list[Call] = []
        tries = count()

        async def write() -> None:
            is_repeated = next(tries) > 0
            if call := await find(name):
                found.append(call)
                await self._apply(call.call_id, event_of(call), is_repeated=is_repeated)

        await self._deferred.write(name, write)
        return found[0] if found else None

    def defer(self, call_id: str, event_of: Callable[[Call], Event]) -> None:
        """As `apply_to()`, but not now: the registry has just been away."""

        async def write() -> None:
            if call := await self._registry.get(call_id):
                await self._apply(call_id, event_of(call), is_repeated=True)

        self._deferred.defer(call_id, write)

    async def refreshed(self, call: Call) -> Call:
        """The call as it stands; as it was when it was looked at, while the registry is away."""
        try:
            return await self._registry.get(call.call_id) or call
        except StorageUnavailable:
            return call

    async def _apply(self, call_id: str, event: Event, *, is_repeated: bool) -> Call | None:
        change = await self._registry.apply(call_id, event)
        if change is None:
            log.info("call.not_found", call_id=call_id, kind=event.kind)
            return None
        log.debug("call.event", call_id=call_id, kind=event.kind, detail=event.detail)
        if change.ended:
            self._conclude(change, event)
        elif change.answered:
            log.info("call.ongoing", call_id=call_id)
        elif is_repeated and not change.after.is_active:
            # The first try may have ended it, and only its answer was lost.
            self._clean_up_behind(change.after)
        return change.after

    def _clean_up_behind(self, call: Call) -> None:
        talked = call.answer_timestamp is not None
        agent_alone = talked and call.disconnection_reason in _CALLER_WENT
        self._room_cleanup.schedule(call.call_id, grace_ms=GOODBYE_MS if agent_alone else 0)

    def _conclude(self, change: Change, event: Event) -> None:
        call = change.after
        self._clean_up_behind(call)
        log.info(
            "call.ended",
            call_id=call.call_id,
            call_status=call.call_status,
            reason=call.disconnection_reason,
            sip_status=call.sip.status if call.sip else None,
            duration_ms=call.duration_ms,
            detail=event.detail,
        )
