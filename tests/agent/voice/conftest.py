"""A voice call in text: a real AgentSession, whose LLM says what the test wrote."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import Agent, AgentSession

from agent.context import CallContext
from agent.profiles.profile import Profile
from agent.record import Record
from agent.voice.voice_call import VoiceCall
from tests.fakes.llm import ScriptedLLM


@asynccontextmanager
async def talking(
    model: ScriptedLLM,
    folder: Path,
    profile: Profile | None = None,
    tools: list[Any] | None = None,
    **call: Any,
) -> AsyncIterator[VoiceCall]:
    """A call whose session has started, in text."""
    job = SimpleNamespace(
        job=SimpleNamespace(id="AJ_1", room=SimpleNamespace(name="call-1")),
        room=SimpleNamespace(),
        session_directory=folder,
    )
    async with AgentSession[None](
        llm=model, vad=None, turn_handling={"turn_detection": None}
    ) as session:
        voice = VoiceCall(
            job=cast(Any, job),
            call=CallContext(call_id="call-1", **call),
            settings=cast(Any, None),
            profile=profile or Profile(),
            session=session,
            record=Record(),
        )
        await session.start(Agent(instructions="Be brief.", tools=tools or []))
        yield voice


@pytest.fixture
def talk(tmp_path: Path) -> Callable[..., Any]:
    """`talk(llm, profile, tools)`: see `talking`."""
    return lambda model, *args, **call: talking(model, tmp_path, *args, **call)
