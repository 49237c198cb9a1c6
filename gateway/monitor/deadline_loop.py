"""The background loops that end overdue calls, and start the reconciling with LiveKit's rooms.

No call outlives a LiveKit, a gateway or a Jambonz that does not answer: see `_end_overdue()`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

import structlog

from gateway.aio import for_each
from gateway.calls.call import Call, DisconnectionReason, Event, EventKind
from gateway.clock import TOLERANCE_MS, Clock
from gateway.config.settings import Config
from gateway.errors import LiveKitError, StorageUnavailable
from gateway.lifecycle.deadlines import Deadlines, Due
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.monitor.reconciler import SEEN_IN_ROOM, Reconciler, answered_event
from gateway.storage.leader import LeaderLock
from gateway.storage.outbox import Outbox
from gateway.storage.registry import CallRegistry

log = structlog.get_logger()

MAX_CONCURRENT_CHECKS = 16


class DeadlineLoop:
    """`run()` never returns; only the gateway that holds the leader lock ends overdue calls.

    `clock` is set to the system's time, if that was set, while there are no calls.
    """

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        livekit: LiveKit,
        room_cleanup: RoomCleanup,
        outbox: Outbox,
        deferred: DeferredWrites,
        reconciler: Reconciler,
        deadlines: Deadlines,
        leader: LeaderLock,
        clock: Clock,
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._room_cleanup = room_cleanup
        self._outbox = outbox
        self._deferred = deferred
        self._reconciler = reconciler
        self._deadlines = deadlines
        self._leader = leader
        self._clock = clock
        self._reconcile_interval = round(config.monitor.reconcile_interval * 1000)
        self._reconcile_at: float = clock.uptime() + self._reconcile_interval
        self._reported_lag = 0

    async def run(self) -> None:
        """Check deadlines and reconcile in two loops: a slow LiveKit delays no deadline."""
        async with asyncio.TaskGroup() as loops:
            loops.create_task(self._repeat(self.tick), name="monitor deadlines")
            loops.create_task(self._repeat(self._reconcile_if_due), name="monitor rooms")

    async def _repeat(self, step: Callable[[], Awaitable[None]]) -> None:
        """Run `step` every `monitor.interval`; a failure is logged and ends nothing."""
        while True:
            await asyncio.sleep(self._config.monitor.interval)
            try:
                await step()
            except StorageUnavailable as error:
                log.warning("monitor.storage_unavailable", error=str(error))
            except Exception:
                log.exception("monitor.step_failed", step=step.__name__)

    async def tick(self) -> None:
        """Replay deferred writes, end overdue calls, delete rooms that are due."""
        try:
            await self._deferred.replay()
            if await self._leader.acquire():
                await self._watch_clock()
                now = self._clock()
                await self._end_overdue(now)
                await self._outbox.forget(await self._registry.prune(now))
        finally:
            await self._room_cleanup.delete_due()

    async def _watch_clock(self) -> None:
        """Report that the system's clock was set; follow it once no call has the old time."""
        lag = self._clock.lag
        if abs(lag - self._reported_lag) > TOLERANCE_MS:
            log.warning("clock.stepped", ms=lag, effect="none until there are no active calls")
            self._reported_lag = lag
        if abs(lag) > TOLERANCE_MS and not await self._registry.count_active():
            log.info("clock.set", ms=lag)
            self._clock.advance(lag)
            self._reported_lag = 0

    async def _reconcile_if_due(self) -> None:
        # A gateway that still replays deferred writes does not acquire the leader lock.
        if (
            self._clock.uptime() >= self._reconcile_at
            and not self._deferred
            and await self._leader.acquire()
        ):
            await self.reconcile()

    async def reconcile(self) -> None:
        """Compare all calls with LiveKit's rooms, and schedule the next comparison.

        While LiveKit or storage is unavailable it is retried with every tick.
        """
        try:
            await self._reconciler.reconcile()
        except (LiveKitError, StorageUnavailable) as error:
            log.warning("monitor.reconcile_failed", error=str(error))
            self._reconcile_at = -math.inf
        else:
            self._reconcile_at = self._clock.uptime() + self._reconcile_interval

    async def _end_overdue(self, now: int) -> None:
        """End what is overdue. Calls that LiveKit may know more about are checked there first.

        While LiveKit is unavailable these calls stay as they are: its silence proves nothing.
        """
        to_check: list[tuple[Call, Due]] = []
        for call in await self._registry.due(now):
            due = self._deadlines.due(call, now)
            if due in _EVENTS_WITHOUT_CHECK:
                await self._lifecycle.apply(call.call_id, _EVENTS_WITHOUT_CHECK[due](now))
            elif due:
                to_check.append((call, due))
        try:
            await for_each(
                to_check, lambda item: self._check_and_apply(*item), limit=MAX_CONCURRENT_CHECKS
            )
        except LiveKitError as error:
            log.warning("monitor.livekit_unavailable", error=str(error), calls=len(to_check))

    async def _check_and_apply(self, call: Call, due: Due) -> None:
        """Apply what is due, unless the call's room shows that something else happened."""
        try:
            event = await self._event_after_check(call, due)
        except LiveKitError as error:
            if error.is_unavailable:
                raise
            log.warning("monitor.check_failed", call_id=call.call_id, due=due, error=str(error))
            return
        await self._lifecycle.apply(call.call_id, event)

    async def _event_after_check(self, call: Call, due: Due) -> Event:
        now = self._clock()
        if due is Due.AGENT_ABSENT:
            return await self._agent_absent(call, now)
        participants = await self._livekit.room_participants(call.call_id)
        if due is Due.NO_AGENT:
            if participants.has_agent:
                return Event(EventKind.AGENT_JOINED, now, detail=SEEN_IN_ROOM)
            detail = f"no agent joined within {self._config.inbound.agent_timeout:g} s"
            return Event(EventKind.NO_AGENT, now, detail=detail)
        if participants.answered:
            return answered_event(call, participants.answered, now)
        detail = f"not answered within {(now - call.start_timestamp) / 1000:.0f} s"
        return Event(EventKind.EXPIRED, now, detail=detail)

    async def _agent_absent(self, call: Call, now: int) -> Event:
        """The agent left and the caller is still connected: end the call instead of silence."""
        absence = call.agent_absence
        assert absence  # noqa: S101 - else it would not be due
        if await self._livekit.has_agent(call.call_id, besides_job=absence.job_id):
            return Event(EventKind.AGENT_JOINED, now, detail="another agent is in the room")
        hung_up = absence.reason is DisconnectionReason.AGENT_HANGUP
        kind = EventKind.HUNG_UP if hung_up else EventKind.AGENT_FAILED
        return Event(kind, now, reason=absence.reason, detail=absence.detail)


def _transfer_outcome_unknown(now: int) -> Event:
    reason = DisconnectionReason.CALL_TRANSFER
    detail = "the outcome was not reported"
    return Event(EventKind.TRANSFER_ENDED, now, reason=reason, detail=detail)


_EVENTS_WITHOUT_CHECK: dict[Due | None, Callable[[int], Event]] = {
    Due.REPORT: lambda now: Event(EventKind.REPORT_MISSED, now),
    Due.TRANSFER: _transfer_outcome_unknown,
    Due.MAX_DURATION_REACHED: lambda now: Event(EventKind.MAX_DURATION_REACHED, now),
}
