"""Keys that the caller presses reach the conversation, and no record."""

import json
import re

from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer, Service
from tests.livekit.conftest import RealServers
from tests.voice.conftest import GREETING, RECEPTIONIST, Dial, EndedCall

GOT_CODE = "Thank you, I have got the code that you pressed."


async def test_keys_reach_the_model_but_no_record(
    dial: Dial, models: ModelServer, real: RealServers, ended_call: EndedCall
) -> None:
    models.script = Script([Rule("7.*3.*9.*1.*6.*4", say=GOT_CODE), *RECEPTIONIST.rules])
    async with dial() as telephone:
        await telephone.hears_out(GREETING)
        await telephone.caller.press("739164")
        await telephone.hears(GOT_CODE)
    call = await ended_call(telephone)
    pressed = re.compile(r"(?<![\w.])739164(?!\w)")  # by itself, not within a time or an id
    assert not pressed.search(json.dumps(call))
    assert not any(pressed.search(line) for line in real.worker.lines)
    assert not models.received(Service.STT)
