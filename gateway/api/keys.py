"""What the application holds for its handlers, each under a typed key."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from aiohttp import web

from gateway.config.settings import Config
from gateway.inbound.service import InboundCalls
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.lifecycle.room_cleanup import RoomCleanup
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import WebhookVerifier
from gateway.monitor.deadline_loop import DeadlineLoop
from gateway.monitor.diagnostics import Counters
from gateway.monitor.reconciler import Reconciler
from gateway.outbound.service import OutboundCalls
from gateway.storage.feed import Feed
from gateway.storage.idempotency import IdempotencyStore
from gateway.storage.outbox import Outbox
from gateway.storage.registry import CallRegistry
from gateway.storage.stores import StorageBackend
from gateway.transfers.service import Transfers


@dataclass
class Health:
    """Whether this gateway wants calls; `draining` once it has been told to stop."""

    draining: bool = False


@dataclass
class Listeners:
    """How many listen to the live feed, and what ends them when the gateway stops."""

    number: int = 0
    end: asyncio.Event = field(default_factory=asyncio.Event)


CONFIG = web.AppKey("config", Config)
CLOCK: web.AppKey[Callable[[], int]] = web.AppKey("clock")
FEED: web.AppKey[Feed] = web.AppKey("feed")
HEALTH = web.AppKey("health", Health)
INBOUND = web.AppKey("inbound", InboundCalls)
LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
LISTENERS = web.AppKey("listeners", Listeners)
LIVEKIT = web.AppKey("livekit", LiveKit)
WEBHOOK_VERIFIER = web.AppKey("webhook_verifier", WebhookVerifier)
IDEMPOTENCY: web.AppKey[IdempotencyStore] = web.AppKey("idempotency")
OPENAPI = web.AppKey("openapi", str)
OUTBOUND = web.AppKey("outbound", OutboundCalls)
OUTBOX: web.AppKey[Outbox] = web.AppKey("outbox")
REGISTRY: web.AppKey[CallRegistry] = web.AppKey("registry")
RECONCILER = web.AppKey("reconciler", Reconciler)
STORES = web.AppKey("stores", StorageBackend)
COUNTERS = web.AppKey("counters", Counters)
ROOM_CLEANUP = web.AppKey("room_cleanup", RoomCleanup)
TRANSFERS = web.AppKey("transfers", Transfers)
DEADLINE_LOOP = web.AppKey("deadline_loop", DeadlineLoop)
