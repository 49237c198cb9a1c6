"""Conversations in text: a session with a scripted model, and the tools of a profile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from livekit.agents import AgentSession

from agent.context import CallContext
from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import Profile
from agent.record import Record
from agent.voice.requests import Requests
from agent.voice.tools.available import tools_for
from agent.voice.voice_agent import VoiceAgent
from agent.voice.voice_call import VoiceCall
from common.signing import Signer
from tests.agent.worker_settings import settings_for
from tests.fakes.agent_room import Room
from tests.fakes.llm import Reply, ScriptedLLM

CALL = CallContext(
    call_id="call-1",
    direction="inbound",
    from_number="+15550100",
    to_number="+15550199",
    metadata={"account_code": "clinic-1", "ticket_id": "INC-1234"},
)
#: What is sent of it with every request.
CALL_SENT = {
    "call_id": "call-1",
    "direction": "inbound",
    "from_number": "+15550100",
    "to_number": "+15550199",
    "account_code": "clinic-1",
    "metadata": CALL.metadata,
}
SETTINGS = settings_for(Path("/nonexistent"))
#: What the tests' own servers need: they listen on loopback.
LOOPBACK_ALLOWED = ("127.0.0.0/8",)


@asynccontextmanager
async def conversation(
    profile: dict[str, Any],
    *replies: Reply,
    allowed_hosts: tuple[str, ...] = LOOPBACK_ALLOWED,
    secrets: tuple[str, ...] = (),
    call: CallContext = CALL,
    room: Room | None = None,
) -> AsyncIterator[VoiceCall]:
    """A conversation that has started; `voice.session.run(user_input=…)` takes a turn in it."""
    model = ScriptedLLM(*replies)
    async with AgentSession[None](
        llm=model, vad=None, turn_handling={"turn_detection": None}
    ) as session:
        voice = VoiceCall(
            job=cast(Any, SimpleNamespace(job=SimpleNamespace(id="AJ_1"), room=room)),
            call=call,
            settings=SETTINGS,
            profile=Profile.model_validate(profile),
            session=session,
            record=Record(),
        )
        requests = Requests(HostPolicy.reading(allowed_hosts), Signer(secrets))
        await session.start(VoiceAgent(instructions="Be kind.", tools=tools_for(voice, requests)))
        yield voice


async def turn(voice: VoiceCall, text: str) -> Any:
    """What happens after the caller has said `text`: a RunResult."""
    return await voice.session.run(user_input=text)


def model_of(voice: VoiceCall) -> ScriptedLLM:
    return cast(ScriptedLLM, voice.session.llm)


async def ended(voice: VoiceCall) -> Any:
    async with asyncio.timeout(5):
        return await voice.ends.first()
