"""The background loops that end overdue calls, and start the reconciling with LiveKit's rooms.

No call outlives a LiveKit, a gateway or a Jambonz that does not answer: see `_end_overdue()`.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable

import structlog

from gateway.aio import for_each
from gateway.calls.call import Call, Event, EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.transitions import transition
from gateway.clock import TOLERANCE_MS, Clock
from gateway.config.settings import Config
from gateway.errors import LiveKitError, StorageUnavailable
from gateway.lifecycle.deadlines import Deadlines, Due
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.monitor.availability import Availability
from gateway.monitor.due_events import due_event
from gateway.monitor.reconciler import Reconciler
from gateway.storage.leader import LeaderLock
from gateway.storage.outbox import Outbox
from gateway.storage.registry import CallRegistry

log = structlog.get_logger()

MAX_CONCURRENT_CHECKS = 16
#: How long deferred writes may keep a gateway from ending overdue calls, in s. Where they come as
#: fast as they are replayed, no gateway would.
REPLAY_LIMIT = 2.0


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
        availability: Availability,
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
        self._availability = availability
        self._clock = clock
        self._reconcile_interval = round(config.monitor.reconcile_interval * 1000)
        self._is_behind = False
        self._reconcile_at: float = clock.uptime() + self._reconcile_interval
        self._reported_lag = 0
        self._answered_checks = 0

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
            await self._deferred.replay(within=REPLAY_LIMIT)
            self._is_behind = bool(self._deferred)
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
        # A gateway that replays deferred writes leaves the leader lock to others, for REPLAY_LIMIT.
        if (
            self._clock.uptime() >= self._reconcile_at
            and (not self._deferred or self._is_behind)
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
            if isinstance(error, LiveKitError):
                self._availability.missed()
            self._reconcile_at = -math.inf
        else:
            self._availability.answered()
            self._reconcile_at = self._clock.uptime() + self._reconcile_interval

    async def _end_overdue(self, now: int) -> None:
        """End what is overdue. Calls that LiveKit may know more about are checked there first.

        While LiveKit is unavailable these calls stay as they are: its silence proves nothing, and
        nor does, for a while after it, what it does not list in the room of an answered call.
        """
        to_check: list[tuple[Call, Due]] = []
        for call in await self._registry.due(now):
            if call.call_id in self._deferred:
                continue  # what waits to be written may have changed it
            due = self._deadlines.due(call, now)
            if due in _EVENTS_WITHOUT_CHECK:
                await self._lifecycle.apply(call.call_id, _EVENTS_WITHOUT_CHECK[due](now))
            elif due and not self._may_be_wrong(call):
                to_check.append((call, due))
        answered_before = self._answered_checks
        try:
            await for_each(
                to_check, lambda item: self._check_and_apply(*item), limit=MAX_CONCURRENT_CHECKS
            )
        except LiveKitError as error:
            if self._answered_checks == answered_before:
                self._availability.failed()
            log.warning("monitor.livekit_unavailable", error=str(error), calls=len(to_check))

    async def _check_and_apply(self, call: Call, due: Due) -> None:
        """Apply what is due, unless the call's room shows that something else happened."""
        try:
            participants = await self._livekit.room_participants(call.call_id)
        except LiveKitError as error:
            if error.is_unavailable:
                raise
            log.warning("monitor.check_failed", call_id=call.call_id, due=due, error=str(error))
            return
        self._answered_checks += 1
        event = due_event(call, due, participants, config=self._config, now=self._clock())
        if event and not (self._may_be_wrong(call) and not transition(call, event).is_active):
            await self._lifecycle.apply(call.call_id, event)

    def _may_be_wrong(self, call: Call) -> bool:
        """Whether LiveKit may list again whom it does not list in the room of this call."""
        return call.answer_timestamp is not None and not self._availability.is_settled


def _transfer_outcome_unknown(now: int) -> Event:
    reason = DisconnectionReason.CALL_TRANSFER
    detail = "the outcome was not reported"
    return Event(EventKind.TRANSFER_ENDED, now, reason=reason, detail=detail)


_EVENTS_WITHOUT_CHECK: dict[Due | None, Callable[[int], Event]] = {
    Due.REPORT: lambda now: Event(EventKind.REPORT_MISSED, now),
    Due.TRANSFER: _transfer_outcome_unknown,
    Due.MAX_DURATION_REACHED: lambda now: Event(EventKind.MAX_DURATION_REACHED, now),
}
