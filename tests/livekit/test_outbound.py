"""Outbound calls with real servers: dispatch, worker, conversation, report, callbacks.

The callee is a WebRTC participant; tests/sip has real SIP legs.
"""

import asyncio
from typing import Any

import aiohttp

from gateway.config.loader import own_keys
from gateway.tools.simulate.caller import Caller, sip_token
from gateway.tools.simulate.outbound import DispatchRequest, play
from gateway.tools.simulate.steps import Steps
from tests.conftest import DISPATCH_KEY
from tests.fakes.receiver import Receiver
from tests.livekit.conftest import RealServers

HEADERS = {"X-API-Key": DISPATCH_KEY}
LIMIT = 30.0


async def test_a_call_from_its_dispatch_to_its_report(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    steps = Steps()
    # A key that may dispatch calls is enough.
    keys = own_keys(real.config, {"GATEWAY_API_KEYS": f"n8n:dispatch:{DISPATCH_KEY}"})
    await play(real.config, keys, real.url, DispatchRequest(hold=0.5), steps)
    assert list(steps.done) == [
        "dispatch answered",
        "callee answers",
        "agent in the room",
        "agent heard",
        "call shown as ongoing",
        "talked",
        "call shown as ended",
    ]


async def test_callbacks_with_the_outcome_reach_the_url_of_the_dispatch(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    async with Receiver().serving() as receiver:
        body = {**DispatchRequest().body(), "callback_url": receiver.url}
        async with http.post(f"{real.url}/dispatch", json=body, headers=HEADERS) as response:
            assert response.status == 200
            content = await response.json()
        assert content["dispatch_id"].startswith("AD_")
        assert content["job_id"].startswith("AJ_")
        await _answer(real, content["call_id"])
        await receiver.received(3)
        assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
        call = receiver.bodies[-1]["call"]
        assert call["disconnection_reason"] == "user_hangup"
        assert call["report"]["transcript"][0]["role"] == "agent"
        assert call["report"]["errors"] == []


async def _answer(real: RealServers, call_id: str) -> None:
    """Join the room as the callee, and leave after a while."""
    token = sip_token(real.config, call_id, "+15550123")
    async with Caller.joined(real.config.livekit.url, token) as callee:
        await asyncio.wait_for(callee.agent_audio(), LIMIT)
        await asyncio.wait_for(callee.agent_heard(), LIMIT)
        await asyncio.sleep(0.5)


async def test_an_agent_name_without_a_worker(
    real: RealServers, http: aiohttp.ClientSession
) -> None:
    body = {**DispatchRequest().body(), "agent_name": "nobody"}
    async with http.post(f"{real.url}/dispatch", json=body, headers=HEADERS) as response:
        error: dict[str, Any] = await response.json()
        assert (response.status, error["error"]) == (503, "no_agent")
