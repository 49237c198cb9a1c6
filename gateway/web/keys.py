"""What the application holds for its handlers, each under a typed key."""

from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from gateway.inbound import InboundCalls
from gateway.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.webhooks import ProofOfKey
from gateway.registry import CallRegistry
from gateway.settings import Config
from gateway.watch import Watch


@dataclass
class Health:
    """Whether this gateway wants calls; `draining` once it has been told to stop."""

    draining: bool = False


CONFIG = web.AppKey("config", Config)
CLOCK: web.AppKey[Callable[[], int]] = web.AppKey("clock")
HEALTH = web.AppKey("health", Health)
INBOUND = web.AppKey("inbound", InboundCalls)
LIFECYCLE = web.AppKey("lifecycle", Lifecycle)
LIVEKIT = web.AppKey("livekit", LiveKit)
PROOF = web.AppKey("proof", ProofOfKey)
REGISTRY = web.AppKey("registry", CallRegistry)
WATCH = web.AppKey("watch", Watch)
