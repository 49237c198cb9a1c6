"""Every call ends: deadlines, what LiveKit and the agent tell, and what LiveKit really has."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable

import structlog

from gateway.callbacks.outbox import Outbox
from gateway.calls import (
    Call,
    CallStatus,
    Direction,
    DisconnectionReason,
    Event,
    EventKind,
    Transfer,
)
from gateway.errors import LiveKitError
from gateway.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import RoomEvent
from gateway.registry import CallRegistry
from gateway.settings import Config
from gateway.sweeper import Sweeper

log = structlog.get_logger()

#: Webhook ids remembered to tell a repeated delivery; LiveKit repeats within seconds.
REMEMBERED_EVENTS = 10_000
#: How long the caller's leg may outlive its agent, in ms: hang-ups of both cross on the way here.
AGENT_GRACE_MS = 2_000
#: How much longer than its ringing the outcome of a transfer is waited for, in ms.
TRANSFER_GRACE_MS = 10_000
_AGENT_CAME = frozenset({EventKind.AGENT_JOINED, EventKind.AGENT_READY})
_AGENT_WENT = frozenset({EventKind.AGENT_LEFT, EventKind.AGENT_GONE})
#: A room younger than this may not be in LiveKit's list yet, in ms.
SETTLED_MS = 10_000


class Watch:
    """Runs beside the doors for as long as the gateway does."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        sweeper: Sweeper,
        outbox: Outbox,
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._sweeper = sweeper
        self._outbox = outbox
        self._clock = clock
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._agentless: dict[str, Event] = {}

    async def room_event(self, signal: RoomEvent) -> None:
        """A LiveKit webhook, delivered at least once and in any order."""
        if signal.event is None or self._is_repeat(signal.event_id):
            return
        await self.happened(signal.room, signal.event)

    async def happened(self, call_id: str, event: Event) -> None:
        """LiveKit or the agent tells of a call; without its agent a call is soon to end."""
        call = await self._lifecycle.apply(call_id, event)
        if call and call.is_active and event.kind in _AGENT_WENT:
            self._agentless.setdefault(call_id, event)
        elif event.kind is EventKind.AGENT_JOINED:
            self._agentless.pop(call_id, None)

    async def run(self) -> None:
        """Tick for ever; a tick that fails is logged and the next one comes all the same."""
        reconciled = self._clock()
        while True:
            await asyncio.sleep(self._config.watch.interval)
            try:
                await self.tick()
                if self._clock() - reconciled >= self._config.watch.reconcile_interval * 1000:
                    reconciled = self._clock()
                    await self.reconcile()
            except Exception:
                log.exception("watch.failed")

    async def tick(self) -> None:
        """End what is overdue, delete rooms that are to go, forget calls kept long enough."""
        now = self._clock()
        for call in await self._registry.active():
            event = self._overdue(call, now)
            if event:
                await self._lifecycle.apply(call.call_id, event)
        await self._end_waiting(now)
        await self._end_agentless(now)
        await self._sweeper.sweep()
        self._outbox.forget(await self._registry.prune(now))
        self._outbox.tick()

    async def reconcile(self) -> None:
        """End calls whose room LiveKit no longer has: the webhooks that said so were lost."""
        now = self._clock()
        suspects = [
            call
            for call in await self._registry.active()
            if now - call.start_timestamp > SETTLED_MS
        ]
        if not suspects:
            return
        try:
            rooms = await self._livekit.room_names()
        except LiveKitError as error:
            log.warning("watch.reconcile_failed", error=str(error))
            return
        for call in suspects:
            if call.call_id not in rooms:
                event = Event(EventKind.ROOM_FINISHED, now, detail="LiveKit has no such room")
                await self._lifecycle.apply(call.call_id, event)

    def _overdue(self, call: Call, now: int) -> Event | None:
        if call.transfer and call.is_transferring:
            return self._transfer_overdue(call.transfer, now)
        if call.call_status is CallStatus.ONGOING:
            lasted = now - (call.answer_timestamp or now)
            if lasted > call.max_call_duration * 1000:
                return Event(EventKind.OVERRAN, now)
            return None
        waited = now - call.start_timestamp
        # A call that is being dialed or rings already has the time it may ring.
        ringing = call.ringing_timeout if call.call_status is CallStatus.RINGING else 0
        if waited > (self._config.inbound.registered_timeout + ringing) * 1000:
            return Event(EventKind.EXPIRED, now, detail=f"nobody answered in {waited / 1000:.0f} s")
        return None

    def _transfer_overdue(self, transfer: Transfer, now: int) -> Event | None:
        patience = self._config.transfer.ring_timeout * 1000 + TRANSFER_GRACE_MS
        if now - transfer.started_at <= patience:
            return None
        reason = DisconnectionReason.CALL_TRANSFER
        detail = "nobody said how it went on"
        return Event(EventKind.TRANSFER_ENDED, now, reason=reason, detail=detail)

    async def _end_waiting(self, now: int) -> None:
        """End inbound calls that no agent came for: their callers get the fallback."""
        for call in await self._registry.active():
            if not self._lacks_agent(call, now):
                continue
            try:
                is_there = await self._livekit.has_agent(call.call_id)
            except LiveKitError as error:
                log.warning("watch.agent_unknown", call_id=call.call_id, error=str(error))
                return
            waited = f"no agent came in {self._config.inbound.agent_timeout:g} s"
            event = (
                Event(EventKind.AGENT_JOINED, now, detail="seen in the room")
                if is_there
                else Event(EventKind.NO_AGENT, now, detail=waited)
            )
            await self._lifecycle.apply(call.call_id, event)

    def _lacks_agent(self, call: Call, now: int) -> bool:
        return (
            call.direction is Direction.INBOUND
            and call.answer_timestamp is None
            and now - call.start_timestamp > self._config.inbound.agent_timeout * 1000
            and not any(entry.event in _AGENT_CAME for entry in call.timeline)
        )

    async def _end_agentless(self, now: int) -> None:
        """End calls whose agent left while the caller is still there, instead of silence."""
        due = [item for item in self._agentless.items() if now - item[1].at >= AGENT_GRACE_MS]
        for call_id, left in due:
            try:
                gone = (left.ids or {}).get("job_id", "")
                another = await self._livekit.has_agent(call_id, besides_job=gone)
            except LiveKitError as error:
                log.warning("watch.agent_unknown", call_id=call_id, error=str(error))
                return
            call = await self._registry.get(call_id)
            if call and call.is_transferring:
                continue  # its agent has nothing more to do there; but the transfer may be refused
            self._agentless.pop(call_id, None)
            if not another:
                on_purpose = left.reason is DisconnectionReason.AGENT_HANGUP
                kind = EventKind.HUNG_UP if on_purpose else EventKind.AGENT_FAILED
                event = Event(kind, now, reason=left.reason, detail=left.detail)
                await self._lifecycle.apply(call_id, event)

    def _is_repeat(self, event_id: str) -> bool:
        if event_id in self._seen:
            return True
        self._seen[event_id] = None
        if len(self._seen) > REMEMBERED_EVENTS:
            self._seen.popitem(last=False)
        return False
