"""A whole conversation by telephone: real SIP and G.711, the voice pipeline, scripted models."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest

from gateway.tools.dev.processes import Process
from gateway.tools.dev.stack import READY_LIMIT, WORKER, WORKER_READY
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.recognizer import Recognize
from tests.ports import free_port
from tests.sip.conftest import LIMIT, call_when
from tests.sip.servers import Telephony
from tests.sip.talker import Talker
from tests.sip.test_inbound import jambonz_for
from tests.voice.conftest import (
    AGENTS_FILE,
    ASKS_DAY,
    BOOKED,
    BOOKING,
    GREETING,
    RECEPTIONIST,
    recognize,
    voice_env,
    words,
)

__all__ = ["recognize"]

AGENT = "receptionist"


@pytest.fixture
async def models(recognize: Recognize) -> AsyncIterator[ModelServer]:
    async with ModelServer(RECEPTIONIST, recognize).serving() as server:
        yield server


@pytest.fixture
def receptionist(telephony: Telephony, models: ModelServer, tmp_path: Path) -> Iterator[Process]:
    """A worker with the voice pipeline beside that of the line test."""
    env = {
        **telephony.real.env,
        **voice_env(models.port, AGENTS_FILE, tmp_path),
        "LIVEKIT_AGENT_NAME": AGENT,
        "AGENT_HTTP_PORT": str(free_port()),
    }
    worker = Process("voice worker", WORKER, env)
    try:
        worker.wait_for(WORKER_READY, limit=READY_LIMIT)
        yield worker
    finally:
        worker.stop()


# On a busy machine the servers take a minute to start.
@pytest.mark.timeout(240)
async def test_a_caller_books_an_appointment(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    receptionist: Process,
    tmp_path: Path,
) -> None:
    jambonz = jambonz_for(telephony, room_gateway, AGENT_NAME=AGENT)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with Talker.at(telephony.carrier_address) as phone:
        variables = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call_of_a_stranger", tmp_path, **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await jambonz.far_status("in-progress")
            await jambonz.status("in-progress")
            await phone.hears(GREETING)
            phone.says("book")
            await phone.hears(ASKS_DAY)
            phone.says("tomorrow")
            await phone.hears(BOOKED)
            phone.says("goodbye")
            # The agent says goodbye and hangs up.
            await asyncio.wait_for(caller.finished(), LIMIT)
        assert [it.gap < 0.25 for it in phone.heard()] == [True] * 4
    call = await call_when(room_gateway, call_id, lambda call: call["report"] is not None)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "agent_hangup")
    assert words(call) == BOOKING
