"""Keys that the caller presses reach the conversation, and no record."""

import json

from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer, Service
from tests.livekit.conftest import RealServers
from tests.voice.conftest import GREETING, RECEPTIONIST, Dial, EndedCall

#: So long that no time and no id has it by chance.
CODE = "73916482"
GOT_CODE = "Thank you, I have got the code that you pressed."


async def test_keys_reach_the_model_but_no_record(
    dial: Dial, models: ModelServer, real: RealServers, ended_call: EndedCall
) -> None:
    models.script = Script([Rule(".*".join(CODE), say=GOT_CODE), *RECEPTIONIST.rules])
    async with dial() as telephone:
        await telephone.hears_out(GREETING)
        await telephone.caller.press(CODE)
        await telephone.hears(GOT_CODE)
    call = await ended_call(telephone)
    assert CODE not in json.dumps(call)
    assert not any(CODE in line for line in real.worker.lines)
    assert not models.received(Service.STT)
