"""`python -m agent conversation FILE`, which `gateway simulate conversation` runs."""

import asyncio
import gc
import json
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from livekit.agents import AgentSession
from livekit.agents.llm import RealtimeModel
from livekit.agents.testing import fake_job_context
from livekit.agents.utils import http_context

from agent.agents_file import check_agents
from agent.context import CallContext
from agent.profiles.hosts import HostPolicy
from agent.profiles.loader import AgentsFileInvalid, read_text
from agent.profiles.model_choice import ModelProblem
from agent.profiles.options import OptionsInvalid, resolve
from agent.profiles.profile import AgentsFile, Profile
from agent.profiles.routing import call_facts
from agent.record import Record
from agent.scenarios.checks import Check, Happened
from agent.scenarios.play import TurnFailed, play
from agent.scenarios.scenario import Scenario, ScenarioInvalid, Turn, load_scenario
from agent.scenarios.show import summary, summary_json, turn_json, turn_lines
from agent.settings import WorkerSettings, environment
from agent.voice.models import LLM, Models, models_for
from agent.voice.requests import Requests
from agent.voice.tools import available
from agent.voice.voice_call import VoiceCall
from common.signing import Signer

#: Exit codes.
HOLDS, FAILS, UNUSABLE = 0, 1, 2


class Unusable(Exception):
    """The conversation cannot be held; `lines` say why."""

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


@dataclass(frozen=True)
class Conversation:
    """All that it takes to hold one."""

    scenario: Scenario
    agents: AgentsFile
    call: CallContext
    profile: Profile
    models: Models
    llm: LLM


def run(file: Path, settings: WorkerSettings, *, in_json: bool = False) -> int:
    """Play the scenario and print it, as text or as a JSON object a line; returns an exit code."""
    logging.disable(logging.ERROR)  # what fails is in the conversation, in words
    try:
        conversation = _prepare(file, settings)
    except Unusable as unusable:
        for line in unusable.lines:
            print(f"agent: {line}", file=sys.stderr)
        return UNUSABLE
    gc.enable()  # `python -m agent` has disabled the collection for the time of loading
    return asyncio.run(_hold(conversation, settings, in_json=in_json))


def _prepare(file: Path, settings: WorkerSettings) -> Conversation:
    """Raises Unusable."""
    scenario, agents = _read(file, settings)
    call = _call(scenario)
    try:
        _, profile = resolve(agents, call, call_facts(call))
        models = models_for(profile, settings.models)
    except (OptionsInvalid, ModelProblem) as error:
        raise Unusable(str(error)) from error
    if isinstance(models.llm, RealtimeModel):
        raise Unusable("a conversation in text needs an `llm`, and this profile is `realtime`")
    return Conversation(scenario, agents, call, profile, models, models.llm)


def _read(file: Path, settings: WorkerSettings) -> tuple[Scenario, AgentsFile]:
    env = environment()
    try:
        scenario = load_scenario(file, env)
    except ScenarioInvalid as error:
        raise Unusable(*(f"{file}: {problem}" for problem in error.problems)) from error
    path = file.parent / scenario.agents if scenario.agents else settings.agents_file
    try:
        return scenario, check_agents(read_text(path), env, settings.models)
    except AgentsFileInvalid as error:
        raise Unusable(*(f"{path}: {problem}" for problem in error.problems)) from error


def _call(scenario: Scenario) -> CallContext:
    """As the gateway would describe it. Its id is a new one: tools may book by it."""
    options: dict[str, object] = {"variables": dict(scenario.variables)}
    if scenario.profile:
        options["profile"] = scenario.profile
    return CallContext(
        call_id=f"conversation-{uuid4()}",
        direction=scenario.direction,
        from_number=scenario.from_number,
        to_number=scenario.to_number,
        session_options=options,
        metadata={"account_code": scenario.account_code} if scenario.account_code else {},
    )


async def _hold(it: Conversation, settings: WorkerSettings, *, in_json: bool) -> int:
    done: list[Check] = []

    def show(turn: Turn, happened: Happened, checks: list[Check]) -> None:
        done.extend(checks)
        lines = turn_json(turn, happened, checks) if in_json else turn_lines(turn, happened, checks)
        print(*lines, sep="\n", flush=True)

    hosts = HostPolicy.reading(it.agents.allowed_hosts)
    requests = Requests(hosts, Signer(settings.callback_secrets))
    try:
        async with _voice(it, settings) as voice:
            await play(it.scenario, voice, available.tools_for(voice, requests), it.llm, show)
    except TurnFailed as error:
        print(json.dumps({"failed": str(error)}) if in_json else f"  FAILED  {error}")
        return FAILS
    print(summary_json(done) if in_json else f"\n{summary(done)}")
    return FAILS if any(check.problem for check in done) else HOLDS


@asynccontextmanager
async def _voice(it: Conversation, settings: WorkerSettings) -> AsyncIterator[VoiceCall]:
    """A call without a room, whose session has not started."""
    async with http_context.open():
        with fake_job_context() as job:
            async with AgentSession[None](
                llm=it.llm,
                vad=None,
                turn_handling={"turn_detection": None},
                conn_options=it.models.conn_options,
            ) as session:
                yield VoiceCall(job, it.call, settings, it.profile, session, Record())
