"""A model that fails is heard, whichever it is and however it fails."""

import asyncio
from dataclasses import dataclass
from typing import Any, cast

import pytest
from livekit.agents import RunContext, StopResponse, function_tool

from agent.ending import Ending
from agent.report import TransferRefused
from agent.voice import failure
from agent.voice.failure import FAILURE_BEFORE_TRANSFER, WAIT, model_failure
from agent.voice.silence import silence
from agent.voice.speech import own_clip
from agent.voice.voice_call import VoiceCall
from gateway.tools.simulate.model_script import Fault, Rule, Script
from gateway.tools.simulate.model_server import Service
from tests.agent.voice.on_the_line import (
    AFTER,
    ANSWER,
    FAILURE,
    LIMIT,
    POLL_INTERVAL,
    WAIT_CLIP,
    WORDS,
    Line,
    on_the_line,
)
from tests.fakes.agent_room import Room

pytestmark = pytest.mark.conversation

#: From the caller's last word, in s; AFTER is less than half of it.
PROMISE = 6.0
SLOW = "slow"
FAULTS = [
    Fault.RESET,
    Fault.HANG,
    Fault.UNAUTHORIZED,
    Fault.QUOTA,
    Fault.ERROR,
    Fault.CUT,
    SLOW,
]
#: A turn is over so long after the last word, and the LLM is asked before.
SLOW_TURNS = {"turn_handling": {"detection": "vad", "min_delay": 1.5, "max_delay": 1.5}}
#: Between two sentences of a caller, in s.
PAUSE = 0.5
#: A caller who goes on speaking is not taken for silent.
SOON_SILENT = {"silence": {"after": 3.0, "prompts": [], "goodbye": ""}}


@dataclass
class Outcome:
    """Of one call: how long the caller waited each time, in s, and how it ended."""

    fault: str
    waits: list[float]
    ending: Ending


def fails(line: Line, service: Service, fault: str) -> None:
    if fault == SLOW:
        line.models.delays[service] = 2 * AFTER
    else:
        line.models.faults[service] = Fault(fault)


async def _greeting_fails(fault: str) -> Outcome:
    async with on_the_line(model_failure, silence, greets=False, profile=SOON_SILENT) as line:
        fails(line, Service.TTS, fault)
        answered = asyncio.get_running_loop().time()
        line.voice.session.say(line.voice.profile.greeting)
        wait = (await line.hears()).start - answered
        return Outcome(fault, [wait], await line.ends())


async def _turn_fails(service: Service, fault: str, *, earlier_turns: int) -> Outcome:
    async with on_the_line(model_failure, silence, profile=SOON_SILENT) as line:
        await line.hears_out()
        for _ in range(earlier_turns):
            await line.hears_out(await line.says())
        fails(line, service, fault)
        waits: list[float] = []
        while not line.ending.done() and not line.voice.is_leaving:
            said = await line.says()
            if line.voice.is_leaving:
                break  # they spoke while the last words were said
            waits.append((await line.hears_out(said)).start - said)
            if service is not Service.STT:
                break  # the models are asked once more, and the caller waits
        return Outcome(fault, waits, await line.ends())


def _check(outcomes: list[Outcome], service: Service) -> None:
    for outcome in outcomes:
        assert max(outcome.waits) < PROMISE, outcome
        assert outcome.ending.reason == "agent_error", outcome
        assert outcome.ending.detail.startswith(f"{service}: "), outcome


async def test_a_greeting_that_cannot_be_said() -> None:
    outcomes = await asyncio.gather(*(_greeting_fails(fault) for fault in FAULTS))
    _check(outcomes, Service.TTS)


@pytest.mark.parametrize("service", Service)
async def test_a_turn_without_an_answer(service: Service) -> None:
    outcomes = await asyncio.gather(
        *(
            _turn_fails(service, fault, earlier_turns=number)
            for number in (0, 1)
            for fault in FAULTS
        )
    )
    _check(outcomes, service)


async def test_outages_that_are_soon_over_cost_no_call() -> None:
    await asyncio.gather(*(_outages_are_over(service) for service in (Service.LLM, Service.TTS)))


async def _outages_are_over(service: Service) -> None:
    async with on_the_line(model_failure) as line:
        await line.hears_out()
        for _ in range(2):
            line.models.faults[service] = Fault.ERROR
            said = await line.says()
            await line.hears(said)
            line.models.faults.clear()
            wait = await line.hears_out(said)
            await line.hears_out(wait.end)
            assert line.transcript()[-2:] == [("agent", "[recording]"), ("agent", ANSWER)]
        assert not line.ending.done()


async def test_the_retry_answers_what_the_caller_said() -> None:
    async with on_the_line(model_failure, profile=SLOW_TURNS) as line:
        await line.hears_out()
        line.models.faults[Service.LLM] = Fault.ERROR
        wait = await line.hears(await line.says())
        line.models.faults.clear()
        await line.hears(wait.end)
        messages = line.models.received(Service.LLM)[-1]["messages"]
        assert [it["content"] for it in messages if it["role"] == "user"] == [WORDS]


async def test_a_caller_who_pauses_does_not_hear_that_an_answer_failed() -> None:
    async with on_the_line(model_failure, profile=SLOW_TURNS) as line:
        await line.hears_out()
        line.models.faults[Service.LLM] = Fault.ERROR
        await line.says()
        async with asyncio.timeout(LIMIT):
            while not line.voice.observer.errors:
                await asyncio.sleep(POLL_INTERVAL)
        await asyncio.sleep(PAUSE)
        line.models.faults.clear()
        await line.hears_out(await line.says())
        assert line.transcript()[-1] == ("agent", ANSWER)
        assert ("agent", "[recording]") not in line.transcript()


async def test_a_fallback_that_answers_in_time_is_all_the_caller_hears() -> None:
    async with on_the_line(model_failure, is_first_llm_dead=True) as line:
        await line.hears_out()
        await line.hears_out(await line.says())
        assert [text for role, text in line.transcript() if role == "agent"][1:] == [ANSWER]


async def test_the_caller_is_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def request(voice: VoiceCall, target: str, kind: str) -> None:
        asked.append((target, kind))
        cast(Room, voice.room).leaves("caller")

    monkeypatch.setattr(failure, "request_transfer", request)
    profile = {"failure": {"after": AFTER, "wait_clip": WAIT_CLIP, "transfer": "+61491570156"}}
    async with on_the_line(model_failure, profile=profile) as line:
        await line.hears_out()
        line.models.faults[Service.LLM] = Fault.UNAUTHORIZED
        await line.says()
        ending = await line.ends()
        assert asked == [("+61491570156", "cold")]
        assert ending == Ending("llm: APIStatusError 401 invalid_api_key")
        assert line.voice.record.errors == [ending.detail]
        assert ("agent", FAILURE_BEFORE_TRANSFER[1]) in line.transcript()


async def test_a_transfer_that_is_refused_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def request(*_: object) -> None:
        raise TransferRefused("no pattern of transfer.allowed matches")

    monkeypatch.setattr(failure, "request_transfer", request)
    profile = {"failure": {**FAILURE, "transfer": "+61491570156"}}
    async with on_the_line(model_failure, profile=profile) as line:
        await line.hears_out()
        line.models.faults[Service.LLM] = Fault.UNAUTHORIZED
        await line.says()
        assert (await line.ends()).reason == "agent_error"
        assert line.voice.record.errors[1:] == ["transfer: no pattern of transfer.allowed matches"]


async def test_a_transfer_that_moves_nobody_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    async def request(*_: object) -> None: ...

    monkeypatch.setattr(failure, "request_transfer", request)
    monkeypatch.setattr(failure, "TRANSFER_TIMEOUT", 0.5)
    profile = {"failure": {**FAILURE, "transfer": "+61491570156"}}
    async with on_the_line(model_failure, profile=profile) as line:
        await line.hears_out()
        line.models.faults[Service.LLM] = Fault.UNAUTHORIZED
        await line.says()
        assert (await line.ends()).reason == "agent_error"
        assert line.voice.record.errors[1:] == ["transfer: the caller is still here"]


async def test_a_clip_that_is_gone_is_replaced_by_the_default() -> None:
    profile = {"failure": {**FAILURE, "wait_clip": "/nonexistent.wav"}}
    async with on_the_line(model_failure, profile=profile) as line:
        await line.hears_out()
        line.models.faults[Service.LLM] = Fault.UNAUTHORIZED
        wait = await line.hears_out(await line.says())
        assert wait.seconds == pytest.approx(own_clip(*WAIT).duration, abs=0.3)


async def test_a_tool_that_takes_long_is_no_failure() -> None:
    @function_tool
    async def look_up(context: RunContext[None]) -> str:
        """Looks it up."""
        await asyncio.sleep(AFTER + 1.5)
        return "found"

    async with on_the_line(model_failure, tools=[look_up]) as line:
        line.models.script = Script([Rule("hours", call="look_up")], otherwise=ANSWER)
        await line.hears_out()
        await line.hears_out(await line.says())
        assert line.transcript()[-2:] == [
            ("user", "what are your opening hours"),
            ("agent", ANSWER),
        ]


async def test_a_tool_that_wants_no_answer_is_no_failure() -> None:
    @function_tool
    async def be_quiet(context: RunContext[None]) -> str:
        """Says nothing."""
        raise StopResponse

    async with on_the_line(model_failure, tools=[be_quiet]) as line:
        line.models.script = Script([Rule("hours", call="be_quiet")])
        await line.hears_out()
        said = await line.says()
        with pytest.raises(TimeoutError):
            await line.hears(said, within=AFTER + 1.5)


async def test_a_cough_is_no_failure() -> None:
    async with on_the_line(model_failure) as line:
        await line.hears_out()
        line.models.faults[Service.STT] = Fault.EMPTY
        await line.hears_out(await line.says(0.2))
        line.models.faults.clear()
        await line.hears_out(await line.says())
        assert line.transcript()[-3:] == [
            ("agent", line.voice.profile.failure.not_understood),
            ("user", "what are your opening hours"),
            ("agent", ANSWER),
        ]
        assert line.voice.unheard == 0


async def test_who_speaks_to_a_deaf_recogniser_is_not_silent() -> None:
    async with on_the_line(model_failure, silence, profile=SOON_SILENT) as line:
        await line.hears_out()
        line.models.faults[Service.STT] = Fault.EMPTY
        for _ in range(2):
            await line.hears_out(await line.says())
        await line.says()
        ending = await line.ends()
        assert ending == Ending("stt: speech was heard, and no words", "agent_error")


async def test_who_was_not_understood_and_falls_silent_has_met_a_failure() -> None:
    async with on_the_line(model_failure, silence, profile=SOON_SILENT) as line:
        await line.hears_out()
        line.models.faults[Service.STT] = Fault.EMPTY
        await line.says()
        assert (await line.ends()).reason == "agent_error"
