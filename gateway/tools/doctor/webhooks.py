"""A check of LiveKit's webhooks: the gateway is notified of a new room."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.tools.doctor.check import Check, Finding, fail, ok, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.gateway import DIAGNOSTICS, ago, next_without_diagnostics
from gateway.tools.doctor.probe import POLL_INTERVAL, probe_room
from gateway.tools.doctor.web import RequestFailed

#: No worker has this name. A room that names an agent is not offered to unnamed workers either.
UNUSED_AGENT_NAME = "gateway-doctor-unused"
#: How long a webhook may take to arrive, in s.
ARRIVAL_TIMEOUT = 5.0


def checks(context: Context) -> list[Check]:
    run = partial(_arrive, context)
    return [Check("webhooks", "webhooks", run, needs=("gateway", "livekit_key"))]


async def _arrive(context: Context) -> Finding:
    try:
        before = await _received(context)
        began = time.monotonic()
        async with probe_room(context.livekit, UNUSED_AGENT_NAME) as room:
            while time.monotonic() - began < ARRIVAL_TIMEOUT:
                now = await _received(context)
                if room in now["rooms"]:
                    took = time.monotonic() - began
                    return ok(f"LiveKit notified the gateway of a new room in {took:.1f} s")
                await asyncio.sleep(POLL_INTERVAL)
    except RequestFailed as error:
        return warn(f"cannot be checked: {error}", next_without_diagnostics(error))
    livekit = context.config.livekit
    return missing(before, now, own_url=context.config.own_url, is_cloud=livekit.is_cloud)


async def _received(context: Context) -> Mapping[str, Any]:
    """`received`, `last_received_at` and `rooms` of the gateway's diagnostics."""
    diagnostics = await context.http.gateway(DIAGNOSTICS)
    webhooks: Mapping[str, Any] = diagnostics["livekit_webhooks"]
    return webhooks


def missing(
    before: Mapping[str, Any], now: Mapping[str, Any], *, own_url: str, is_cloud: bool
) -> Finding:
    """No webhook of the probe room arrived between `before` and `now`."""
    message = f"LiveKit did not notify the gateway of a new room within {ARRIVAL_TIMEOUT:g} s"
    url = f"{own_url}/livekit/webhook"
    if now["received"] > before["received"]:
        message += ", but of other events: does LiveKit notify another gateway?"
        return warn(message, f"--url must be the gateway that LiveKit notifies: {url}")
    if now["last_received_at"]:
        message += f"; the last webhook came {ago(now['last_received_at'])} ago"
    steps = [
        f"LiveKit Cloud, Settings, Webhooks: URL {url}, signing key the one of LIVEKIT_API_KEY"
        if is_cloud
        else f"livekit-server's configuration, `webhook`: `api_key` LIVEKIT_API_KEY, `urls` {url}",
        "the gateway's log shows a webhook that came and was refused (401)",
    ]
    return fail(message, "\n".join(steps))
