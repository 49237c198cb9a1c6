"""A whole conversation by telephone: real SIP and G.711, the voice pipeline, scripted models."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from gateway.tools.simulate.model_server import ModelServer
from tests.sip.conftest import LIMIT, VOICE_AGENT, call_when
from tests.sip.servers import Telephony
from tests.sip.talker import Talker
from tests.sip.test_inbound import jambonz_for
from tests.sip.test_transfer import answered
from tests.voice.conftest import ASKS_DAY, BOOKED, BOOKING, GREETING, words


# On a busy machine the servers take a minute to start.
@pytest.mark.timeout(240)
async def test_a_caller_books_an_appointment(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    models: ModelServer,
    tmp_path: Path,
) -> None:
    jambonz = jambonz_for(telephony, room_gateway, AGENT_NAME=VOICE_AGENT)
    async with (
        Talker.at(telephony.carrier_address) as phone,
        answered(telephony, jambonz, phone, tmp_path, "call_of_a_stranger") as talk,
    ):
        await phone.hears(GREETING)
        phone.says("book")
        await phone.hears(ASKS_DAY)
        phone.says("tomorrow")
        await phone.hears(BOOKED)
        phone.says("goodbye")
        # The agent says goodbye and hangs up.
        await asyncio.wait_for(talk.caller.finished(), LIMIT)
        assert [it.gap < 0.25 for it in phone.heard()] == [True] * 4, phone.heard()
    call = await call_when(room_gateway, talk.call_id, lambda call: call["report"] is not None)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "agent_hangup")
    assert words(call) == BOOKING
