"""LiveKit's webhooks: does the gateway hear of a room that is made."""

import asyncio
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from gateway.tools.doctor.check import Check, Finding, fail, ok, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.gateway import DIAGNOSTICS, ago, next_without_diagnostics
from gateway.tools.doctor.probe import LOOK_EVERY, probe_room
from gateway.tools.doctor.web import NoAnswer

#: Nobody answers to it, and where an agent is named no unnamed worker is given a job either.
NOBODY = "gateway-doctor-nobody"
#: How long LiveKit may take to tell, in s.
ARRIVAL_LIMIT = 5.0


def checks(site: Context) -> list[Check]:
    look = partial(_arrive, site)
    return [Check("webhooks", "webhooks", look, needs=("gateway", "livekit_key"))]


async def _arrive(site: Context) -> Finding:
    try:
        before = await _public_fields(site)
        began = time.monotonic()
        async with probe_room(site.livekit, NOBODY) as room:
            while time.monotonic() - began < ARRIVAL_LIMIT:
                now = await _public_fields(site)
                if room in now["rooms"]:
                    took = time.monotonic() - began
                    return ok(f"LiveKit told the gateway of a new room in {took:.1f} s")
                await asyncio.sleep(LOOK_EVERY)
    except NoAnswer as error:
        return warn(f"cannot be seen: {error}", next_without_diagnostics(error))
    return missing(before, now, own_url=site.config.own_url, is_cloud=site.config.livekit.is_cloud)


async def _public_fields(site: Context) -> Mapping[str, Any]:
    """`received`, `last_received_at` and `rooms` of the gateway's diagnostics."""
    told: Mapping[str, Any] = (await site.web.gateway(DIAGNOSTICS))["livekit_webhooks"]
    return told


def missing(
    before: Mapping[str, Any], now: Mapping[str, Any], *, own_url: str, is_cloud: bool
) -> Finding:
    """The probe room was not among the gateway's webhooks `before`, nor is it `now`."""
    saw = f"LiveKit did not tell the gateway of a new room within {ARRIVAL_LIMIT:g} s"
    url = f"{own_url}/livekit/webhook"
    if now["received"] > before["received"]:
        saw += ", but of other things: is there another gateway that it tells?"
        return warn(saw, f"--url must be the gateway that LiveKit tells: {url}")
    if now["last_received_at"]:
        saw += f"; the last webhook came {ago(now['last_received_at'])} ago"
    place = (
        "LiveKit Cloud, Settings, Webhooks: URL"
        if is_cloud
        else "livekit-server's configuration, `webhook`: `api_key` LIVEKIT_API_KEY, `urls`"
    )
    steps = [f"{place} {url}"]
    if is_cloud:
        steps[0] += ", signing key the one of LIVEKIT_API_KEY"
    steps.append("the gateway's log says so where one came and was refused (401)")
    return fail(saw, "\n".join(steps))
