"""An outbound call by telephone that a mailbox answers: it gets the message after its tone."""

from pathlib import Path

import aiohttp
import pytest

from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.tones import chord_of, length
from tests.sip.conftest import VOICE_AGENT, call_when
from tests.sip.servers import Telephony
from tests.sip.talker import Talker
from tests.sip.test_outbound import dispatch
from tests.voice.test_voicemail import DETECTION, MESSAGE


# On a busy machine the servers take a minute to start.
@pytest.mark.timeout(240)
async def test_a_mailbox_gets_the_message(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    models: ModelServer,
    tmp_path: Path,
) -> None:
    models.script = DETECTION
    agent = {"agent_name": VOICE_AGENT, "session_options": {"profile": "reminder"}}
    async with (
        Talker.at(telephony.carrier_address) as phone,
        telephony.callee("answer_until_bye", tmp_path, audio_port=str(phone.port)) as callee,
    ):
        status, call = await dispatch(room_gateway, wait="answer", **agent)
        assert status == 200, call
        phone.says("voicemail")
        # The agent leaves the message and hangs up.
        await callee.finished()
        heard = phone.heard()
        assert [it.chord for it in heard] == [chord_of(MESSAGE)], heard
        (message,) = heard
        assert message.end - message.start == pytest.approx(length(MESSAGE), abs=0.3)
    call = await call_when(room_gateway, call["call_id"], lambda call: call["report"] is not None)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "voicemail_reached")
    assert call["report"]["in_voicemail"] is True
