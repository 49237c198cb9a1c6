"""A collector that the gateways of a test export their spans to, and a call for them to trace."""

import asyncio
import os
from collections.abc import AsyncIterator
from unittest import mock

import pytest

from gateway.telemetry import tracing
from tests.api.test_livekit import AGENT, SIP, send, tell, webhook
from tests.conftest import Client, jambonz_for
from tests.fakes.collector import Collector


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    with mock.patch.dict(os.environ):
        async with Collector().serving() as collector:
            exporting = tracing.exporting(collector.env)
            exporting.__enter__()
            yield collector
            # In a thread, for its end waits for the collector, which is here.
            await asyncio.to_thread(exporting.__exit__, None, None, None)


async def inbound_call(*gateways: Client) -> str:
    """From hook to end; each request goes to the next gateway."""
    first, second = gateways[0], gateways[-1]
    jambonz = jambonz_for(first)
    (dial,) = await jambonz.call_arrives()
    call_id: str = dial["headers"]["X-Call-Id"]
    jambonz.url = str(second.make_url("")).rstrip("/")
    attributes = {"sip.callID": "SCL_1", "sip.ruleID": "SDR_1"}
    assert (
        await send(first, "/livekit/webhook", webhook("participant_joined", call_id, AGENT)) == 204
    )
    joined = webhook("participant_joined", call_id, SIP, attributes=attributes)
    assert await send(second, "/livekit/webhook", joined) == 204
    await jambonz.status("in-progress")
    assert await tell(second, call_id, "agent_ready") == 204
    assert await jambonz.dial_ends(dial["actionHook"], "completed", "completed", 200) == []
    await jambonz.status("completed", duration=1)
    assert await tell(first, call_id, "agent_ended", report={}) == 204
    return call_id
