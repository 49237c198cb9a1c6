"""What the handlers use: the parts of one gateway, under the application's only key."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.api.limits import Limits
from gateway.config.settings import Config
from gateway.history.audit import Audit
from gateway.history.directory import CallDirectory
from gateway.history.writer import HistoryStatus, HistoryWriter
from gateway.inbound.service import InboundCalls
from gateway.inbound.web_calls import WebCalls
from gateway.lifecycle.deferred import DeferredWrites
from gateway.lifecycle.dialing import Dialer
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import WebhookVerifier
from gateway.monitor.deadline_loop import DeadlineLoop
from gateway.monitor.diagnostics import Counters
from gateway.monitor.readiness import Readiness
from gateway.monitor.reconciler import Reconciler
from gateway.outbound.service import OutboundCalls
from gateway.storage.backend import StorageBackend
from gateway.telemetry.metrics import Metrics
from gateway.transfers.announced import AnnouncedTransfers
from gateway.transfers.refer import Refers
from gateway.transfers.service import Transfers

#: How long a gateway that stops writes what the history does not have yet, in s.
HISTORY_GRACE = 1.0


@dataclass
class Listeners:
    """The clients of the live feed: how many there are."""

    number: int = 0


@dataclass(frozen=True, slots=True)
class Services:
    """One gateway; `clock` in ms since epoch.

    `draining` is set once a signal stops it, `stopping` once it ends its connections.
    """

    config: Config
    clock: Callable[[], int]
    counters: Counters
    metrics: Metrics
    limits: Limits
    listeners: Listeners
    livekit: LiveKit
    webhooks: WebhookVerifier
    storage: StorageBackend
    calls: CallDirectory
    audit: Audit
    history: HistoryWriter | None
    readiness: Readiness
    lifecycle: Lifecycle
    deferred: DeferredWrites
    room_cleanup: RoomCleanup
    dialer: Dialer
    transfers: Transfers
    announced: AnnouncedTransfers
    refers: Refers
    inbound: InboundCalls
    web_calls: WebCalls
    outbound: OutboundCalls
    reconciler: Reconciler
    deadline_loop: DeadlineLoop
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def history_status(self) -> HistoryStatus:
        return self.history.status if self.history else HistoryStatus()

    async def close(self) -> None:
        """End the background work: callbacks in progress get `callbacks.flush_timeout`, what the
        history does not have yet gets HISTORY_GRACE.
        """
        await self.readiness.close()
        await self.dialer.close()
        await self.deferred.close()
        await self.storage.leader.release()
        await self.storage.outbox.close(grace=self.config.callbacks.flush_timeout)
        if self.history:
            await self.history.close(grace=HISTORY_GRACE)


SERVICES = web.AppKey("services", Services)
