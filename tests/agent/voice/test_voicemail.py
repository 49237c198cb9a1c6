"""Who answers an outbound call, by livekit-agents' own detection with a scripted LLM."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent.ending import Ending
from agent.profiles.profile import Profile, Voicemail
from agent.voice import voicemail
from agent.voice.finish import finish
from agent.voice.voice_call import VoiceCall
from agent.voice.voicemail import greet_person
from tests.fakes.llm import ScriptedLLM, Use

Talk = Callable[..., Any]
LIMIT = 10.0
MESSAGE = "Please call us back."
HANG_UP = Profile(voicemail=Voicemail(action="hang_up"))
LEAVE = Profile(voicemail=Voicemail(action="leave_message", message=MESSAGE))
SCREENED = Profile(voicemail=Voicemail(action="hang_up", screening="It is Ann, about your car."))


def is_a(category: str) -> Use:
    return Use("save_prediction", {"label": category})


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The framework's own are short enough."""
    monkeypatch.setattr(voicemail, "TONE_PAUSE", 0.1)


class Callee:
    """Who answers the call: they speak as the framework would hear them."""

    def __init__(self, voice: VoiceCall) -> None:
        self._voice = voice

    async def says(self, text: str, seconds: float = 3.0) -> object:
        """Once somebody listens, whom this returns; the speech itself takes no time."""
        async with asyncio.timeout(LIMIT):
            while not (self._voice.session.amd and self._voice.session.amd.started):
                await asyncio.sleep(0.01)
        amd: Any = self._voice.session.amd
        amd._on_user_speech_started()
        amd._classifier._speech_started_at -= seconds
        amd._on_user_speech_ended(0.3)
        if text:
            amd._on_transcript(text)
        amd._classifier.on_end_of_turn()
        return amd


async def answered(voice: VoiceCall, *speeches: str, seconds: float = 3.0) -> tuple[Any, bool]:
    """How the call went on: its ending, and whether a person was greeted."""
    greeted = asyncio.Event()

    async def greet() -> None:
        greeted.set()

    async def speak() -> None:
        for speech in speeches:
            listener = await Callee(voice).says(speech, seconds)
            async with asyncio.timeout(LIMIT):
                while voice.session.amd is listener:
                    await asyncio.sleep(0.01)

    async with asyncio.timeout(LIMIT), asyncio.TaskGroup() as tasks:
        tasks.create_task(speak())
        ending = await greet_person(voice, greet)
    return ending, greeted.is_set()


def said(voice: VoiceCall) -> list[object]:
    return [entry["text"] for entry in voice.record.transcript if entry["role"] == "agent"]


async def test_a_person_is_greeted_and_gets_no_other_reply(talk: Talk) -> None:
    model = ScriptedLLM(is_a("human"))
    async with talk(model, HANG_UP, direction="outbound") as voice:
        assert await answered(voice, "Hello, this is Lisa.") == (None, True)
        assert said(voice) == []
        assert not voice.is_listening
    assert (await finish(voice))["in_voicemail"] is False


async def test_a_short_word_needs_no_model(talk: Talk) -> None:
    model = ScriptedLLM()
    async with talk(model, HANG_UP, direction="outbound") as voice:
        assert await answered(voice, "", seconds=0.5) == (None, True)
    assert model.requests == []


@pytest.mark.parametrize("profile", [HANG_UP, LEAVE])
async def test_a_full_mailbox_is_hung_up_on(talk: Talk, profile: Profile) -> None:
    model = ScriptedLLM(is_a("machine-unavailable"))
    async with talk(model, profile, direction="outbound") as voice:
        ending, greeted = await answered(voice, "The mailbox is full.")
        assert (ending.reason, greeted) == ("voicemail_reached", False)
        assert said(voice) == []
    assert (await finish(voice))["in_voicemail"] is True


async def test_a_mailbox_gets_the_message_and_then_the_call_ends(talk: Talk) -> None:
    model = ScriptedLLM(is_a("machine-vm"))
    async with talk(model, LEAVE, direction="outbound") as voice:
        ending, greeted = await answered(voice, "Please leave a message after the tone.")
        assert ending == Ending("a message was left on an answering machine", "voicemail_reached")
        assert not greeted
        assert said(voice) == [MESSAGE]


async def test_a_menu_is_talked_to_and_not_greeted(talk: Talk) -> None:
    model = ScriptedLLM(is_a("machine-ivr"), "Sales, please.")
    async with talk(model, HANG_UP, direction="outbound") as voice:
        assert await answered(voice, "Press 1 for sales.") == (None, False)
        async with asyncio.timeout(LIMIT):
            while said(voice) != ["Sales, please."]:
                await asyncio.sleep(0.01)


async def test_call_screening_is_answered_and_then_the_person_is_greeted(talk: Talk) -> None:
    model = ScriptedLLM(is_a("machine-ivr"), "Yes.", is_a("human"))
    async with talk(model, SCREENED, direction="outbound") as voice:
        speeches = "Please state your name and why you are calling.", "Hello, this is Lisa."
        assert await answered(voice, *speeches) == (None, True)
        assert said(voice) == [SCREENED.voicemail.screening]


async def test_screening_that_never_ends_is_given_up(talk: Talk) -> None:
    screened = (is_a("machine-ivr"), "Yes")
    model = ScriptedLLM(*screened * voicemail.MAX_SCREENINGS)
    async with talk(model, SCREENED, direction="outbound") as voice:
        asked = ("Who is calling?",) * voicemail.MAX_SCREENINGS
        assert await answered(voice, *asked) == (None, True)
        assert len(said(voice)) == voicemail.MAX_SCREENINGS


async def test_nobody_who_says_nothing_waits_long_for_the_greeting(
    talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voicemail, "NO_SPEECH", 0.1)
    async with talk(ScriptedLLM(), HANG_UP, direction="outbound") as voice:
        assert await answered(voice) == (None, True)
        assert voice.in_voicemail is None


async def test_a_model_that_fails_leaves_nobody_in_silence(talk: Talk) -> None:
    quick = Profile(voicemail=Voicemail(action="hang_up", timeout=1))
    model = ScriptedLLM(RuntimeError("broken"))
    async with talk(model, quick, direction="outbound") as voice:
        assert await answered(voice, "We are not here.") == (None, True)


@pytest.mark.parametrize(("profile", "direction"), [(HANG_UP, "inbound"), (Profile(), "outbound")])
async def test_nobody_is_kept_waiting_where_no_machine_is_expected(
    talk: Talk, profile: Profile, direction: str
) -> None:
    async with talk(ScriptedLLM(), profile, direction=direction) as voice:
        assert await answered(voice) == (None, True)
    assert "in_voicemail" not in await finish(voice)
