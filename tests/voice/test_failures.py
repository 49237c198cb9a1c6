"""A caller whose agent fails hears so within 6 s, without any model, and the call has the error."""

import asyncio

import numpy as np
import pytest

from gateway.tools.simulate.caller import SAMPLE_RATE
from gateway.tools.simulate.model_script import Fault
from gateway.tools.simulate.model_server import ModelServer, Service
from gateway.tools.simulate.telephone import LIMIT, Telephone
from tests.voice.conftest import GREETING, PROMISES, Dial, EndedCall, words

#: From the caller's last word, in s.
PROMISE = 6.0
#: Louder than what codecs leave of silence.
LOUD = 1_000
NOT_UNDERSTOOD = "Sorry, I did not get that."
FAILURE = "I am sorry, something is not working here. Please call again later. Goodbye."


async def waited(telephone: Telephone, said: float) -> float:
    """How long after the position `said` something is heard, in s. Raises TimeoutError."""
    async with asyncio.timeout(LIMIT):
        while True:
            heard = np.abs(np.array(telephone.caller.recording[round(said * SAMPLE_RATE) :]))
            if len(loud := np.flatnonzero(heard > LOUD)):
                return float(loud[0]) / SAMPLE_RATE
            await asyncio.sleep(0.1)


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        ((Service.LLM, Fault.HANG), "llm: APITimeoutError"),
        ((Service.LLM, Fault.RESET), "llm: APIConnectionError"),
        ((Service.TTS, Fault.QUOTA), "tts: APIStatusError 429 insufficient_quota"),
    ],
)
async def test_a_model_that_fails(
    failing: tuple[Service, Fault],
    error: str,
    dial: Dial,
    models: ModelServer,
    ended_call: EndedCall,
) -> None:
    service, fault = failing
    async with dial(PROMISES) as telephone:
        await telephone.hears_out(GREETING)
        models.faults[service] = fault
        assert await waited(telephone, await telephone.says("book")) < PROMISE
        await telephone.is_hung_up()
    call = await ended_call(telephone)
    assert (call["call_status"], call["disconnection_reason"]) == ("error", "agent_error")
    assert any(it.startswith(error) for it in call["report"]["errors"]), call["report"]["errors"]
    assert words(call)[-1] == ("agent", FAILURE)


async def test_a_recogniser_that_fails(
    dial: Dial, models: ModelServer, ended_call: EndedCall
) -> None:
    async with dial(PROMISES) as telephone:
        await telephone.hears_out(GREETING)
        models.faults[Service.STT] = Fault.UNAUTHORIZED
        for _ in range(2):
            assert await waited(telephone, await telephone.says("book")) < PROMISE
            await asyncio.sleep(2)
        await telephone.is_hung_up()
    call = await ended_call(telephone)
    assert call["disconnection_reason"] == "agent_error"
    assert call["report"]["errors"] == ["stt: APIStatusError 401 invalid_api_key"]
    assert ("agent", NOT_UNDERSTOOD) in words(call)


@pytest.mark.parametrize("fault", [Fault.HANG, Fault.ERROR])
async def test_a_greeting_that_cannot_be_said(
    dial: Dial, models: ModelServer, ended_call: EndedCall, fault: Fault
) -> None:
    models.faults[Service.TTS] = fault
    async with dial(PROMISES) as telephone:
        assert await waited(telephone, telephone.caller.position) < PROMISE
        await telephone.is_hung_up()
    call = await ended_call(telephone)
    assert call["disconnection_reason"] == "agent_error"
    assert ("agent", GREETING) not in words(call)
