"""Whole conversations in real time without LiveKit: real plugins, watchers and a models' server."""

import asyncio
import platform
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from types import SimpleNamespace
from typing import Any, cast

from livekit.agents import Agent, AgentSession

from agent.context import CallContext
from agent.ending import Ending
from agent.profiles.model_access import ModelAccess
from agent.profiles.profile import Profile
from agent.record import Record
from agent.settings import WorkerSettings
from agent.voice.models import Models, models_for
from agent.voice.session import UNDERSTOOD_BEFORE
from agent.voice.voice_call import VoiceCall
from gateway.tools.simulate.model_script import Script
from gateway.tools.simulate.model_server import ModelServer
from tests.fakes.agent_room import Person, Room
from tests.fakes.line import Ear, LoudVad, Mouth, Sound

# The openai client asks for it, and Python starts a process the first time.
platform.processor()

Watcher = Callable[[VoiceCall], Awaitable[Ending]]

#: Short: a test waits until it is said.
GREETING = "Hello, clinic here."
ANSWER = "We are open till six."
WORDS = "what are your opening hours"
#: In s: shorter than the default, so that a test does not take half a minute.
AFTER = 2.5
#: Nobody listens there.
NOBODY = "http://127.0.0.1:9/v1"
LIMIT = 15.0
POLL_INTERVAL = 0.02
QUIET_POLLS = 10
#: Clips of the operator's own, which are short.
WAIT_CLIP, CLIP = (str(files("agent.sounds").joinpath(f"{key}.wav")) for key in "12")
TURNS = {"detection": "vad", "max_delay": 0.4}
FAILURE = {"after": AFTER, "wait_clip": WAIT_CLIP, "clip": CLIP}


@dataclass
class Line:
    """A conversation. `models` is their server, `ending` how it ended."""

    voice: VoiceCall
    models: ModelServer
    mouth: Mouth
    ear: Ear
    ending: "asyncio.Future[Ending]"

    async def says(self, seconds: float = 0.8) -> float:
        """Speak; returns when the last word was said."""
        self.mouth.speak(seconds)
        return await self.mouth.said()

    async def hears(self, after: float = 0.0, within: float = LIMIT) -> Sound:
        """The first sound that begins later than `after`. Raises TimeoutError."""
        async with asyncio.timeout(within):
            while True:
                for sound in self.ear.heard:
                    if sound.start >= after:
                        return sound
                await asyncio.sleep(POLL_INTERVAL)

    async def hears_out(self, after: float = 0.0, within: float = LIMIT) -> Sound:
        """That sound, once the agent has stopped speaking."""
        sound = await self.hears(after, within)
        quiet = 0
        async with asyncio.timeout(within):
            # Audio may come late, and the agent's state after it.
            while quiet < QUIET_POLLS:
                await asyncio.sleep(POLL_INTERVAL)
                is_speaking = self.voice.session.agent_state == "speaking"
                quiet = 0 if is_speaking or self.ear.queued_duration else quiet + 1
        return sound

    def transcript(self) -> list[tuple[object, object]]:
        """Who said what, as the record has it; without tools."""
        return [
            (entry["role"], entry["text"])
            for entry in self.voice.record.transcript
            if entry["role"] != "tool"
        ]

    def presses(self, keys: str, identity: str = "caller") -> None:
        for key in keys:
            press = SimpleNamespace(digit=key, participant=Person(identity))
            self.voice.room.emit("sip_dtmf_received", press)

    async def ends(self, within: float = 2 * LIMIT) -> Ending:
        async with asyncio.timeout(within):
            return await asyncio.shield(self.ending)


@asynccontextmanager
async def on_the_line(
    *watchers: Watcher,
    profile: dict[str, Any] | None = None,
    tools: Sequence[Any] = (),
    greets: bool = True,
    is_first_llm_dead: bool = False,
    **call: Any,
) -> AsyncIterator[Line]:
    """A conversation that `watchers` may end, with a caller who has answered, and is greeted."""
    async with AsyncExitStack() as stack:
        models = ModelServer(Script(otherwise=ANSWER), lambda _: WORDS)
        await stack.enter_async_context(models.serving())
        chosen = _profile(models.url, profile or {}, is_first_llm_dead=is_first_llm_dead)
        made = models_for(chosen, ModelAccess())
        stack.push_async_callback(_close, made)
        session = await stack.enter_async_context(_session(chosen, made))
        session.input.audio, session.output.audio = mouth, ear = Mouth(), Ear()
        room = Room(Person("caller"))
        voice = VoiceCall(
            job=cast(Any, SimpleNamespace(room=room, job=SimpleNamespace(id="AJ_1"))),
            call=CallContext(call_id="call-1", **call),
            settings=cast(WorkerSettings, SimpleNamespace()),
            profile=chosen,
            session=session,
            record=Record(pipeline="voice"),
        )
        await session.start(Agent(instructions="Be brief.", tools=list(tools)), record=False)
        ending = asyncio.ensure_future(_first(watchers, voice))
        stack.callback(ending.cancel)
        line = Line(voice, models, mouth, ear, ending)
        voice.caller = cast(Any, room.remote_participants["caller"])
        if greets:
            session.say(chosen.greeting)
        yield line


def _profile(url: str, values: dict[str, Any], *, is_first_llm_dead: bool) -> Profile:
    model = {"plugin": "openai", "model": "m", "base_url": url, "api_key": "key-of-the-tests"}
    defaults = {
        "greeting": GREETING,
        "turn_handling": TURNS,
        "failure": FAILURE,
        "stt": model,
        "llm": [{**model, "base_url": NOBODY}, model] if is_first_llm_dead else model,
        "tts": {**model, "voice": "v", "response_format": "pcm"},
    }
    return Profile.model_validate({**defaults, **values})


def _session(profile: Profile, models: Models) -> AgentSession[None]:
    turns = profile.turn_handling
    return AgentSession[None](
        stt=cast(Any, models.stt),
        llm=models.llm,
        tts=cast(Any, models.tts),
        vad=LoudVad(),
        conn_options=models.conn_options,
        turn_handling={
            "turn_detection": "vad",
            "endpointing": {"min_delay": turns.min_delay, "max_delay": turns.max_delay},
            "interruption": {
                "enabled": turns.interruptions,
                "discard_audio_if_uninterruptible": False,
            },
        },
        aec_warmup_duration=None,
        user_away_timeout=profile.silence.after or None,
        transcription_timeout=profile.failure.after - UNDERSTOOD_BEFORE,
        session_close_transcript_timeout=0.1,
    )


async def _close(models: Models) -> None:
    """Also what the plugin's STT and a FallbackAdapter leave open."""
    recogniser, llm = cast(Any, models.stt), cast(Any, models.llm)
    for model in (models.tts, *getattr(llm, "_llm_instances", [llm])):
        await model.aclose()
    await recogniser.wrapped._client.close()


async def _first(watchers: Sequence[Watcher], voice: VoiceCall) -> Ending:
    tasks = [asyncio.ensure_future(watcher(voice)) for watcher in watchers]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for task in tasks:
            task.cancel()
