"""Workers: a real one under its name and under another, and one that comes unasked."""

import pytest
from livekit.protocol.agent import Job
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import CreateRoomRequest

from gateway.tools.doctor import agents
from gateway.tools.doctor.agents import not_taken
from gateway.tools.doctor.check import Status
from tests.conftest import ConfigMaker
from tests.fakes.livekit import FakeLiveKit
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, look


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody will come, a moment is long enough to see it."""
    monkeypatch.setattr(agents, "JOB_LIMIT", 0.3)
    monkeypatch.setattr(agents, "JOIN_LIMIT", 0.1)
    monkeypatch.setattr(agents, "NOBODY_LIMIT", 0.3)


async def test_a_worker_that_takes_the_job(stack: Stack) -> None:
    told = await look(stack.config(), "worker")
    assert told.status is Status.OK
    assert "'nehos-outbound-agent' was taken" in told.saw


@pytest.mark.usefixtures("impatient")
async def test_a_worker_under_another_name(stack: Stack) -> None:
    told = await look(stack.config(LIVEKIT_AGENT_NAME="other"), "worker", env=stack.env)
    assert told.status is Status.FAIL
    assert "no worker took a job for 'other'" in told.saw
    assert "the worker of this machine answers to 'nehos-outbound-agent'" in told.saw
    assert "LIVEKIT_AGENT_NAME" in told.next


@pytest.mark.usefixtures("impatient")
async def test_no_worker(stack: Stack) -> None:
    nowhere = {"AGENT_HTTP_PORT": str(free_port())}
    told = await look(stack.config(LIVEKIT_AGENT_NAME="other"), "worker", env=nowhere)
    assert told.status is Status.FAIL
    assert told.next.startswith("start a worker: LIVEKIT_AGENT_NAME=other python -m agent")


@pytest.mark.parametrize(
    ("here", "elsewhere", "saw", "step"),
    [
        ("wanted", set(), "answers to that name, and took none", "AGENT_LOAD_THRESHOLD"),
        ("", set(), "answers to ''", "use one name"),
        (None, {"b", "a", "wanted"}, "agents in rooms now: 'a', 'b'", "use one name"),
        (None, {"wanted"}, "no worker took a job", "start a worker"),
    ],
)
def test_why_nobody_took_it(here: str | None, elsewhere: set[str], saw: str, step: str) -> None:
    told = not_taken("wanted", here, frozenset(elsewhere))
    assert told.status is Status.FAIL
    assert saw in told.saw
    assert step in told.next


class WithAgentThatNeverJoins(FakeLiveKit):
    """A worker takes the job, and that is the last one hears of it."""

    def _create_room(self, request: CreateRoomRequest) -> Room:
        [agent] = request.agents
        dispatch = AgentDispatch(id="AD_1", room=request.name, agent_name=agent.agent_name)
        dispatch.state.jobs.append(Job(id="AJ_1"))
        self.dispatches.append(dispatch)
        return super()._create_room(request)


@pytest.mark.usefixtures("impatient")
async def test_an_agent_that_never_joins(make_config: ConfigMaker) -> None:
    async with WithAgentThatNeverJoins().serving() as livekit:
        told = await look(make_config({"LIVEKIT_URL": livekit.url}), "worker")
    assert told.status is Status.WARN
    assert "the agent was not in the room" in told.saw


@pytest.mark.usefixtures("impatient")
async def test_nobody_comes_unasked(stack: Stack) -> None:
    assert (await look(stack.config(), "other_workers")).status is Status.OK


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


async def test_a_worker_that_comes_unasked(make_config: ConfigMaker) -> None:
    async with WithUnnamedWorker().serving() as livekit:
        told = await look(make_config({"LIVEKIT_URL": livekit.url}), "other_workers")
        assert livekit.rooms == {}
    assert told.status is Status.WARN
    assert "agent_name" in told.next


@pytest.mark.usefixtures("impatient")
async def test_probe_rooms_are_deleted(fake_livekit: FakeLiveKit, make_config: ConfigMaker) -> None:
    for check in ("worker", "other_workers"):
        await look(make_config(), check, env={"AGENT_HTTP_PORT": str(free_port())})
    assert len(fake_livekit.requested(CreateRoomRequest)) == 2
    assert fake_livekit.rooms == {}
