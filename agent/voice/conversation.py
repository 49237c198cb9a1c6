"""A conversation by livekit-agents' AgentSession, from the first ring to the last word."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from livekit.agents import CloseEvent, CloseReason, JobContext

from agent.agents_file import current_agents
from agent.context import CallContext
from agent.conversation import OnReady, SendReport
from agent.ending import Ending
from agent.profiles.hosts import HostPolicy
from agent.record import Record
from agent.room import answered_caller, caller_in, inaudible_for
from agent.settings import WorkerSettings
from agent.voice.audio import CallAudio
from agent.voice.background import background
from agent.voice.call_profile import profile_of
from agent.voice.departure import caller_departure
from agent.voice.failure import model_failure
from agent.voice.finish import finish
from agent.voice.goodbye import max_duration
from agent.voice.greeting import Greeting
from agent.voice.keys import keys
from agent.voice.models import models_for
from agent.voice.overheard import overheard
from agent.voice.recording import NOT_UPLOADED
from agent.voice.requests import Requests
from agent.voice.session import new_session, room_options
from agent.voice.silence import silence
from agent.voice.tools.available import tools_for
from agent.voice.voice_agent import VoiceAgent
from agent.voice.voice_call import VoiceCall
from agent.voice.voicemail import greet_person
from common.signing import Signer

logger = logging.getLogger("agent.voice")

#: What goes on beside the conversation, and may end it.
WATCHERS = (model_failure, silence, max_duration, keys, overheard, background)


class VoiceConversation:
    """See Conversation."""

    def __init__(
        self, job: JobContext, call: CallContext, record: Record, settings: WorkerSettings
    ) -> None:
        self._job = job
        self._call = call
        self._record = record
        self._settings = settings
        self._voice: VoiceCall | None = None

    async def talk(self, on_ready: OnReady) -> Ending:
        """Raises OptionsInvalid, ModelProblem, RoomEnded, TimeoutError."""
        settings = self._settings
        agents = current_agents(settings)
        requests = Requests(
            HostPolicy.reading(agents.allowed_hosts), Signer(settings.callback_secrets)
        )
        name, profile = await profile_of(agents, self._call, requests, self._caller_attributes())
        session = new_session(profile, models_for(profile, settings.models))
        voice = VoiceCall(
            self._job,
            self._call,
            settings,
            profile,
            session,
            self._record,
            profile_name=name,
            hosts=requests.hosts,
        )
        self._voice = voice
        greeting = Greeting(voice)
        async with _started(voice, requests):
            return await first_ending(
                caller_departure(voice),
                voice.ends.first(),
                on_ready(),
                greeting.prepare(),
                _greet(voice, greeting),
                *(watch(voice) for watch in WATCHERS),
            )

    async def finish(self, send: SendReport) -> None:
        if self._voice is None:
            await send(self._record.report())
            return
        await send(await finish(self._voice))
        await self._voice.recording.settle()

    def _caller_attributes(self) -> Mapping[str, str]:
        caller = caller_in(self._job.room, self._call)
        return caller.attributes if caller else {}


async def first_ending(*parts: Coroutine[Any, Any, Ending | None]) -> Ending:
    """The first ending that a part returns; the others are cancelled. None is no ending."""
    tasks = {asyncio.create_task(part) for part in parts}
    try:
        while tasks:
            done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if ending := task.result():
                    return ending
        raise RuntimeError("nothing is left that could end the conversation")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _greet(voice: VoiceCall, greeting: Greeting) -> Ending | None:
    """Greet whoever answers, once they can hear the agent; an Ending if that is a machine."""
    caller = await answered_caller(voice.room, voice.call)
    logger.info("caller.answered")
    voice.session.room_io.set_participant(caller.identity)
    voice.session.input.set_audio_enabled(True)
    voice.session.reset_away_timer()
    await asyncio.sleep(inaudible_for(caller, voice.call))
    voice.caller = caller
    return await greet_person(voice, greeting.say)


@contextlib.asynccontextmanager
async def _started(voice: VoiceCall, requests: Requests) -> AsyncIterator[None]:
    """The session, deaf until the caller has answered, and its audio in the room."""
    audio = CallAudio(voice.room)
    voice.session.output.audio = audio
    voice.session.on("close", lambda event: _end_on_error(voice, event))
    await audio.publish()
    playing = asyncio.create_task(audio.start())
    try:
        await voice.session.start(
            VoiceAgent(instructions=voice.profile.instructions, tools=tools_for(voice, requests)),
            room=voice.room,
            room_options=room_options(voice.call),
            record=NOT_UPLOADED,
        )
        voice.session.input.set_audio_enabled(False)
        yield
    finally:
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)


def _end_on_error(voice: VoiceCall, event: CloseEvent) -> None:
    """The framework closes a session whose models have failed too often."""
    if event.reason is CloseReason.ERROR:
        error = type(event.error).__name__ if event.error else "unknown"
        voice.ends.end(Ending(f"the session closed: {error}", "agent_error"))
