"""An outbound call on real parts: dispatch, worker, conversation, report, callbacks.

The SIP leg is played by WebRTC; tests/sip has real ones.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.tools.simulate.caller import Caller, sip_token
from gateway.tools.simulate.outbound import DispatchRequest, play
from gateway.tools.simulate.steps import Steps
from tests.conftest import DISPATCH_KEY
from tests.fakes.receiver import Receiver
from tests.livekit.conftest import Real, real_parts

HEADERS = {"X-API-Key": DISPATCH_KEY}


@pytest.fixture(scope="module")
def real(livekit_binary: Path) -> Iterator[Real]:
    settings = {
        "GATEWAY__OUTBOUND__DIALED_BY": "agent",
        "GATEWAY__OUTBOUND__EARLY_FAILURE_WINDOW": "0",
        "GATEWAY__CALLBACKS__ALLOWED_HOSTS": "127.0.0.1",
        "GATEWAY_API_KEYS": f"n8n:dispatch:{DISPATCH_KEY}",
    }
    with real_parts(**settings) as parts:
        yield parts


async def test_from_the_dispatch_to_the_report(real: Real, http: aiohttp.ClientSession) -> None:
    steps = Steps()
    await play(real.config, real.keys, real.url, DispatchRequest(hold=0.5), steps)
    assert list(steps.done) == [
        "dispatch answered",
        "callee answers",
        "agent in the room",
        "agent heard",
        "call shown as ongoing",
        "talked",
        "call shown as ended",
    ]


async def test_the_outcome_reaches_the_callback_url(
    real: Real, http: aiohttp.ClientSession
) -> None:
    async with Receiver().serving() as receiver:
        body = {**DispatchRequest().body(), "callback_url": receiver.url}
        async with http.post(f"{real.url}/dispatch", json=body, headers=HEADERS) as answer:
            assert answer.status == 200
            dispatched = await answer.json()
        assert dispatched["dispatch_id"].startswith("AD_")
        assert dispatched["job_id"].startswith("AJ_")
        await _be_called(real, dispatched["call_id"])
        await receiver.received(3)
        assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
        call = receiver.bodies[-1]["call"]
        assert call["disconnection_reason"] == "user_hangup"
        assert call["report"]["transcript"][0]["role"] == "agent"
        assert call["report"]["errors"] == []


async def _be_called(real: Real, call_id: str) -> None:
    token = sip_token(real.config, call_id, "+15550123")
    async with Caller.joined(real.config.livekit.url, token) as callee:
        await asyncio.wait_for(callee.agent_audio(), 20)
        await asyncio.wait_for(callee.agent_heard(), 20)
        await asyncio.sleep(1)


async def test_an_agent_name_that_nobody_answers_to(
    real: Real, http: aiohttp.ClientSession
) -> None:
    body = {**DispatchRequest().body(), "agent_name": "nobody"}
    async with http.post(f"{real.url}/dispatch", json=body, headers=HEADERS) as answer:
        error: dict[str, Any] = await answer.json()
        assert (answer.status, error["error"]) == (503, "no_agent")
