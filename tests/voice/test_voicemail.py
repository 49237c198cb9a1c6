"""Outbound calls that a person, a machine or a screening service answers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.outbound import DispatchRequest
from gateway.tools.simulate.telephone import Telephone, outbound_call
from tests.conftest import DISPATCH_KEY
from tests.livekit.conftest import RealServers
from tests.voice.conftest import ASKS_DAY, GREETING, RECEPTIONIST, EndedCall

HEADERS = {"X-API-Key": DISPATCH_KEY}
MESSAGE = "Please call the clinic back about your appointment tomorrow."
SCREENING = "This is the clinic about your appointment of tomorrow."


def _is(category: str, pattern: str) -> Rule:
    return Rule(pattern, call="save_prediction", arguments={"label": category})


#: Of a model that tells who answers.
DETECTION = Script(
    [
        _is("machine-vm", "leave a message"),
        _is("machine-ivr", "reason for calling"),
        _is("human", ""),
        Rule("reason for calling", say="Yes."),
        Rule("who is calling", say="This must not be said on top of the greeting."),
        *RECEPTIONIST.rules,
    ]
)


@pytest.fixture(autouse=True)
def detection(models: ModelServer) -> None:
    models.script = DETECTION


@asynccontextmanager
async def _answered(real: RealServers, http: aiohttp.ClientSession) -> AsyncIterator[Telephone]:
    request = DispatchRequest()
    body = {**request.body(), "session_options": {"profile": "reminder"}}
    async with http.post(f"{real.url}/dispatch", json=body, headers=HEADERS) as response:
        assert response.status == 200, await response.text()
        call_id = (await response.json())["call_id"]
    async with outbound_call(real.config, call_id, request.destination) as telephone:
        await telephone.caller.answer()
        yield telephone


async def test_a_mailbox_gets_the_message(
    real: RealServers, http: aiohttp.ClientSession, ended_call: EndedCall
) -> None:
    async with _answered(real, http) as telephone:
        end = await telephone.says("voicemail")
        message = await telephone.hears_out(MESSAGE)
        assert message.start > end + 1, "the tone comes first"
        await telephone.is_hung_up()
        assert len(telephone.heard()) == 1
    call = await ended_call(telephone)
    assert call["disconnection_reason"] == "voicemail_reached"
    assert call["report"]["in_voicemail"] is True
    assert call["report"]["mute"] == call["agent_silences"] == []


async def test_a_person_is_greeted_and_then_talked_to(
    real: RealServers, http: aiohttp.ClientSession, ended_call: EndedCall
) -> None:
    async with _answered(real, http) as telephone:
        end = await telephone.says("who")
        greeting = await telephone.hears_out(GREETING)
        assert greeting.start - end < 5
        await telephone.says("book")
        await telephone.hears_out(ASKS_DAY)
        assert len(telephone.heard()) == 2, telephone.heard()
    call = await ended_call(telephone)
    assert call["disconnection_reason"] == "user_hangup"
    assert call["report"]["in_voicemail"] is False


async def test_screening_is_answered_and_then_the_person_is_greeted(
    real: RealServers, http: aiohttp.ClientSession, ended_call: EndedCall
) -> None:
    async with _answered(real, http) as telephone:
        await telephone.says("screening")
        await telephone.hears_out(SCREENING)
        await telephone.says("who")
        await telephone.hears_out(GREETING)
        assert len(telephone.heard()) == 2, telephone.heard()
    call = await ended_call(telephone)
    assert call["report"]["in_voicemail"] is False
