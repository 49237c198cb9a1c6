"""Outbound calls: the agent waits until it is answered, and then greets."""

import asyncio

import aiohttp

from gateway.tools.simulate.model_server import ModelServer, Service
from gateway.tools.simulate.outbound import DispatchRequest
from gateway.tools.simulate.telephone import outbound_call
from tests.conftest import DISPATCH_KEY
from tests.livekit.conftest import RealServers
from tests.voice.conftest import ASKS_DAY, GREETING, EndedCall

HEADERS = {"X-API-Key": DISPATCH_KEY}


async def test_the_agent_greets_once_it_is_answered(
    real: RealServers, http: aiohttp.ClientSession, models: ModelServer, ended_call: EndedCall
) -> None:
    request = DispatchRequest()
    async with http.post(f"{real.url}/dispatch", json=request.body(), headers=HEADERS) as response:
        assert response.status == 200, await response.text()
        call_id = (await response.json())["call_id"]
    async with outbound_call(real.config, call_id, request.destination) as telephone:
        # A ringing tone, or an announcement of the network's, is not the callee.
        await telephone.says("voicemail")
        await asyncio.sleep(1)
        assert telephone.heard() == []
        await telephone.caller.answer()
        await telephone.hears_out(GREETING)
        await telephone.says("book")
        await telephone.hears(ASKS_DAY)
    # On a busy machine the sentence may come in two pieces.
    transcripts = [content["text"] for content in models.received(Service.STT)]
    assert " ".join(transcripts) == "i would like to book an appointment"
    call = await ended_call(telephone)
    assert call["disconnection_reason"] == "user_hangup"
