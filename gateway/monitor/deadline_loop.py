"""Every call ends: deadlines are applied, rooms deleted, calls compared with what LiveKit has."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from gateway.aio import for_each
from gateway.calls.call import Call, DisconnectionReason, Event, EventKind
from gateway.config.settings import Config
from gateway.errors import LiveKitError, StorageUnavailable
from gateway.lifecycle.deadlines import Deadlines, Due
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.monitor.reconciler import SEEN, Reconciler, answer_seen
from gateway.storage.leader import LeaderLock
from gateway.storage.outbox import Outbox
from gateway.storage.registry import CallRegistry

log = structlog.get_logger()

AT_ONCE = 16


class DeadlineLoop:
    """Runs beside the doors for as long as the gateway does. `clock` in ms since epoch."""

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
        clock: Callable[[], int],
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
        self._compare_every = round(config.monitor.reconcile_interval * 1000)
        self._reconcile_at = clock() + self._compare_every

    async def run(self) -> None:
        """Tick and compare for ever, beside each other: no deadline waits for a slow LiveKit."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._again_and_again(self.tick), name="watch deadlines")
            both.create_task(self._again_and_again(self._compare_if_due), name="watch rooms")

    async def _again_and_again(self, step: Callable[[], Awaitable[None]]) -> None:
        """One that fails is logged, and the next one comes all the same."""
        while True:
            await asyncio.sleep(self._config.monitor.interval)
            try:
                await step()
            except StorageUnavailable as error:
                log.warning("monitor.storage_unavailable", error=str(error))
            except Exception:
                log.exception("watch.failed")

    async def tick(self) -> None:
        """Make up for what was missed, end what is overdue, delete rooms that are to go."""
        try:
            await self._deferred.replay()
            if await self._leader.acquire():
                now = self._clock()
                await self._end_overdue(now)
                await self._outbox.forget(await self._registry.prune(now))
        finally:
            await self._room_cleanup.delete_due()

    async def _compare_if_due(self) -> None:
        # Who has yet to catch up leaves the turn to others.
        if (
            self._clock() >= self._reconcile_at
            and not self._deferred
            and await self._leader.acquire()
        ):
            await self.reconcile()

    async def reconcile(self) -> None:
        """Compare all calls with LiveKit's rooms, and say when to do so again.

        While LiveKit or the registry is away it is tried again and again: nothing can be told from
        their not answering.
        """
        try:
            await self._reconciler.reconcile()
        except (LiveKitError, StorageUnavailable) as error:
            log.warning("monitor.reconcile_failed", error=str(error))
            self._reconcile_at = 0
        else:
            self._reconcile_at = self._clock() + self._compare_every

    async def _end_overdue(self, now: int) -> None:
        unsure: list[tuple[Call, Due]] = []
        for call in await self._registry.due(now):
            due = self._deadlines.due(call, now)
            if due in _SURE:
                await self._lifecycle.apply(call.call_id, _SURE[due](now))
            elif due:
                unsure.append((call, due))
        try:
            await for_each(unsure, lambda item: self._ask(*item), limit=AT_ONCE)
        except LiveKitError as error:
            log.warning("monitor.livekit_unavailable", error=str(error), calls=len(unsure))

    async def _ask(self, call: Call, due: Due) -> None:
        """What is due may look different to LiveKit: what it has counts."""
        try:
            event = await self._answer(call, due)
        except LiveKitError as error:
            if error.is_unavailable:
                raise
            log.warning("monitor.check_failed", call_id=call.call_id, due=due, error=str(error))
            return
        await self._lifecycle.apply(call.call_id, event)

    async def _answer(self, call: Call, due: Due) -> Event:
        now = self._clock()
        match due:
            case Due.AGENT_GONE:
                return await self._without_agent(call, now)
            case Due.NO_AGENT:
                if (await self._livekit.room_participants(call.call_id)).has_agent:
                    return Event(EventKind.AGENT_JOINED, now, detail=SEEN)
                waited = f"no agent came in {self._config.inbound.agent_timeout:g} s"
                return Event(EventKind.NO_AGENT, now, detail=waited)
            case _:
                leg = (await self._livekit.room_participants(call.call_id)).answered
                if leg:
                    return answer_seen(call, leg, now)
                waited = f"nobody answered in {(now - call.start_timestamp) / 1000:.0f} s"
                return Event(EventKind.EXPIRED, now, detail=waited)

    async def _without_agent(self, call: Call, now: int) -> Event:
        """The agent left while the caller is still there: an end, instead of silence."""
        left = call.agent_absence
        assert left  # noqa: S101 - that is what is due
        if await self._livekit.has_agent(call.call_id, besides_job=left.job_id):
            return Event(EventKind.AGENT_JOINED, now, detail="another one is in the room")
        on_purpose = left.reason is DisconnectionReason.AGENT_HANGUP
        kind = EventKind.HUNG_UP if on_purpose else EventKind.AGENT_FAILED
        return Event(kind, now, reason=left.reason, detail=left.detail)


def _transfer_unknown(now: int) -> Event:
    reason = DisconnectionReason.CALL_TRANSFER
    detail = "nobody said how it went on"
    return Event(EventKind.TRANSFER_ENDED, now, reason=reason, detail=detail)


#: What needs nobody's confirmation.
_SURE: dict[Due | None, Callable[[int], Event]] = {
    Due.REPORT: lambda now: Event(EventKind.REPORT_MISSED, now),
    Due.TRANSFER: _transfer_unknown,
    Due.MAX_DURATION_REACHED: lambda now: Event(EventKind.MAX_DURATION_REACHED, now),
}
