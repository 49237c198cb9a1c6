"""The checks of the workers: named, under another name, missing, unnamed."""

from typing import Any

import pytest
from livekit.protocol.agent import Job
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import CreateRoomRequest

from gateway.explanation.status import Status
from gateway.tools.doctor import agents
from gateway.tools.doctor.agents import not_taken, pipeline_of
from tests.conftest import ConfigMaker
from tests.fakes.livekit import FakeLiveKit
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, run_check


@pytest.fixture
def short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter timeouts, for workers that never come."""
    monkeypatch.setattr(agents, "JOB_TIMEOUT", 0.3)
    monkeypatch.setattr(agents, "JOIN_TIMEOUT", 0.1)
    monkeypatch.setattr(agents, "UNNAMED_TIMEOUT", 0.3)


async def test_a_worker_that_takes_the_job(stack: Stack) -> None:
    finding = await run_check(stack.config(), "worker")
    assert finding.status is Status.OK
    assert "'nehos-outbound-agent' was taken" in finding.message


@pytest.mark.usefixtures("short_timeouts")
async def test_a_worker_under_another_name(stack: Stack) -> None:
    finding = await run_check(stack.config(LIVEKIT_AGENT_NAME="other"), "worker", env=stack.env)
    assert finding.status is Status.FAIL
    assert "no worker took a job for 'other'" in finding.message
    assert "this machine's worker has the name 'nehos-outbound-agent'" in finding.message
    assert "LIVEKIT_AGENT_NAME" in finding.next


@pytest.mark.usefixtures("short_timeouts")
async def test_no_worker(stack: Stack) -> None:
    env = {"AGENT_HTTP_PORT": str(free_port())}
    finding = await run_check(stack.config(LIVEKIT_AGENT_NAME="other"), "worker", env=env)
    assert finding.status is Status.FAIL
    assert finding.next.startswith("start a worker: LIVEKIT_AGENT_NAME=other python -m agent")


async def test_the_pipeline_of_a_worker(stack: Stack) -> None:
    finding = await run_check(stack.config(), "worker_pipeline", env=stack.env)
    assert (finding.status, finding.message) == (Status.OK, "diagnostic")
    voice = stack.config(GATEWAY__AGENT__PIPELINE="voice")
    finding = await run_check(voice, "worker_pipeline", env=stack.env)
    assert finding.status is Status.WARN
    assert "runs 'diagnostic', the gateway expects 'voice'" in finding.message
    env = {"AGENT_HTTP_PORT": str(free_port())}
    assert (await run_check(voice, "worker_pipeline", env=env)).status is Status.SKIP


DEAD = "tool server booking (mcp): no connection"


@pytest.mark.parametrize(
    ("facts", "configured", "status", "message"),
    [
        ({"pipeline": "voice", "problems": []}, "voice", Status.OK, "voice"),
        ({"pipeline": "voice", "problems": [DEAD, "second"]}, "voice", Status.WARN, DEAD),
        ({"pipeline": "voice", "problems": "odd"}, "voice", Status.OK, "voice"),
        ({}, "diagnostic", Status.OK, "diagnostic"),
        ({}, "voice", Status.WARN, "runs 'diagnostic'"),
    ],
)
def test_what_a_worker_tells_of_its_pipeline(
    facts: dict[str, Any], configured: str, status: Status, message: str
) -> None:
    finding = pipeline_of(facts, configured)
    assert finding.status is status
    assert message in finding.message


@pytest.mark.parametrize(
    ("here", "elsewhere", "message", "step"),
    [
        ("wanted", set(), "has that name, and did not take the job", "AGENT_LOAD_THRESHOLD"),
        ("", set(), "has the name ''", "use one name"),
        (None, {"b", "a", "wanted"}, "agents in rooms now: 'a', 'b'", "use one name"),
        (None, {"wanted"}, "no worker took a job", "start a worker"),
    ],
)
def test_why_no_worker_took_the_job(
    here: str | None, elsewhere: set[str], message: str, step: str
) -> None:
    finding = not_taken("wanted", here, frozenset(elsewhere))
    assert finding.status is Status.FAIL
    assert message in finding.message
    assert step in finding.next


class AgentNeverJoins(FakeLiveKit):
    """A worker takes the job, and its agent never joins."""

    def _create_room(self, request: CreateRoomRequest) -> Room:
        [agent] = request.agents
        dispatch = AgentDispatch(id="AD_1", room=request.name, agent_name=agent.agent_name)
        dispatch.state.jobs.append(Job(id="AJ_1"))
        self.dispatches.append(dispatch)
        return super()._create_room(request)


@pytest.mark.usefixtures("short_timeouts")
async def test_an_agent_that_never_joins(make_config: ConfigMaker) -> None:
    async with AgentNeverJoins().serving() as livekit:
        finding = await run_check(make_config({"LIVEKIT_URL": livekit.url}), "worker")
    assert finding.status is Status.WARN
    assert "the agent was not in the room" in finding.message


@pytest.mark.usefixtures("short_timeouts")
async def test_no_unnamed_worker(stack: Stack) -> None:
    assert (await run_check(stack.config(), "unnamed_workers")).status is Status.OK


class WithUnnamedWorker(FakeLiveKit):
    """LiveKit dispatches a worker without a name to each room that names no agent."""

    def _create_room(self, request: CreateRoomRequest) -> Room:
        if not request.agents:
            self.participants[request.name] = [
                ParticipantInfo(
                    identity="agent-AJ_1",
                    kind=ParticipantInfo.Kind.AGENT,
                    state=ParticipantInfo.State.ACTIVE,
                )
            ]
        return super()._create_room(request)


async def test_an_unnamed_worker(make_config: ConfigMaker) -> None:
    async with WithUnnamedWorker().serving() as livekit:
        finding = await run_check(make_config({"LIVEKIT_URL": livekit.url}), "unnamed_workers")
        assert livekit.rooms == {}
    assert finding.status is Status.WARN
    assert "agent_name" in finding.next


@pytest.mark.usefixtures("short_timeouts")
async def test_probe_rooms_are_deleted(fake_livekit: FakeLiveKit, make_config: ConfigMaker) -> None:
    for check in ("worker", "unnamed_workers"):
        await run_check(make_config(), check, env={"AGENT_HTTP_PORT": str(free_port())})
    assert len(fake_livekit.requested(CreateRoomRequest)) == 2
    assert fake_livekit.rooms == {}
