"""A caller whose model fails, by telephone: a recording says so, and a REFER hands them on."""

import uuid
from importlib.resources import files
from pathlib import Path

import aiohttp
import pytest

from agent.voice.failure import FAILURE_BEFORE_TRANSFER
from gateway.tools.simulate.model_script import Fault
from gateway.tools.simulate.model_server import ModelServer, Service
from tests.sip.conftest import VOICE_AGENT, call_when, ended_call
from tests.sip.servers import Telephony
from tests.sip.talker import Talker
from tests.sip.test_inbound import jambonz_for
from tests.sip.test_transfer import TARGET, answered
from tests.voice.conftest import GREETING, HANDS_ON, words


# On a busy machine the servers take a minute to start.
@pytest.mark.timeout(240)
async def test_a_caller_whose_model_fails_is_handed_on(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    models: ModelServer,
    tmp_path: Path,
) -> None:
    jambonz = jambonz_for(telephony, room_gateway, HANDS_ON, AGENT_NAME=VOICE_AGENT)
    file, text = FAILURE_BEFORE_TRANSFER
    async with (
        Talker.at(telephony.carrier_address) as phone,
        answered(telephony, jambonz, phone, tmp_path, refer_response="202 Accepted") as talk,
    ):
        await phone.hears(GREETING)
        models.faults[Service.TTS] = Fault.QUOTA
        phone.says("book")
        await phone.hears_recording(files("agent.sounds") / file)
        dial, after = await talk.follows_refer()
    assert dial["target"] == [{"type": "phone", "number": TARGET, "trunk": "my-carrier"}]
    assert after == {"verb": "hangup"}
    hook = talk.dial["actionHook"]
    assert await jambonz.dial_ends(hook, "in-progress", "completed", 200) == []
    jambonz.far_sid = str(uuid.uuid4())
    await jambonz.far_status("in-progress")
    call = await ended_call(room_gateway, talk.call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "call_transfer")
    assert call["transfer"]["target"] == TARGET
    call = await call_when(room_gateway, talk.call_id, lambda call: call["report"] is not None)
    assert call["report"]["errors"] == ["tts: APIStatusError 429 insufficient_quota"]
    assert words(call)[-1] == ("agent", text)
