"""Dispatch and Wait in a real n8n: every row gets its outcome, once, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from tests.conftest import Client, GatewayStarter, list_calls
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.n8n.conftest import NodeUser, RunningN8n, eventually, hang_up
from tests.n8n.editor import ENDED, JSON, Execution

# The first test waits until n8n has started; a list takes as long as its calls.
pytestmark = pytest.mark.timeout(600)

#: The outcomes that the rows of a list have in turn; these numbers' last digits tell them too.
OUTCOMES = ("answered", "busy", "no answer", "failed")
SIP = {"busy": (486, "Busy Here"), "no answer": (480, "Temporarily Unavailable")}
BAD = "12 or 13"
WAITING: JSON = {"operation": "dispatchAndWait", "includeInputFields": True, "timeLimit": 60}


def rows_of(number: int) -> list[JSON]:
    """So many rows; those that are to fail have no number that can be called."""
    return [
        {
            "destination": BAD if index % 4 == 3 else f"+1555{100 + index % 100:04}",
            "account_code": "em-tech-01",
            "line": index,
        }
        for index in range(number)
    ]


def expected(number: int) -> list[tuple[int, str]]:
    words = (*OUTCOMES[:3], "not dispatched")
    return [(index, words[index % 4]) for index in range(number)]


def outcomes(execution: Execution) -> list[tuple[int, str]]:
    return [(item["line"], item["outcome"]) for item in execution.outputs("Gateway")]


@pytest.fixture
async def gateway(start_gateway: GatewayStarter, fake_livekit: FakeLiveKit) -> Client:
    """A gateway that may call n8n back, with its own limits; the callees have their fates."""
    for index in range(100):
        if sip := SIP.get(OUTCOMES[index % 4]):
            fake_livekit.callees[f"+1555{100 + index:04}"] = Callee(sip=sip)
    return await start_gateway()


async def wait_for_calls(gateway: Client, number: int) -> Sequence[str]:
    """The ids of the calls in which people talk, once there are so many."""

    async def ongoing() -> Sequence[str] | None:
        calls = (await list_calls(gateway, "?status=ongoing&limit=200"))["calls"]
        return [call["call_id"] for call in calls] if len(calls) >= number else None

    return await eventually(ongoing, limit=120)


@asynccontextmanager
async def measured(running: RunningN8n) -> AsyncIterator[list[float]]:
    """n8n's memory in MB, measured twice a second."""
    memory = [running.server.memory]

    async def measure() -> None:
        while True:
            await asyncio.sleep(0.5)
            memory.append(running.server.memory)

    task = asyncio.create_task(measure())
    yield memory
    task.cancel()


async def test_every_row_of_a_list_gets_its_outcome(
    node: NodeUser, gateway: Client, running_n8n: RunningN8n, capsys: pytest.CaptureFixture[str]
) -> None:
    """Calls end before n8n waits, while it waits, and never begin. The memory is shown: n8n's own
    varies by as much, with what it has collected."""
    number = 120
    for turn in ("first", "second"):
        async with measured(running_n8n) as memory:
            execution_id = await node.start(rows_of(number), **WAITING)
            for call_id in await wait_for_calls(gateway, number // 4):
                await hang_up(gateway, call_id)
            execution = await node.editor.execution(execution_id, *ENDED, limit=180)
        assert execution.status == "success", execution.error
        assert outcomes(execution) == expected(number)
        assert execution.sources("Gateway") == list(range(number))
        answered = [item["call_id"] for item in execution.outputs("Gateway")[::4]]
        assert len(set(answered)) == number // 4
        before, highest, after = (round(mb) for mb in (memory[0], max(memory), memory[-1]))
        with capsys.disabled():
            print(  # noqa: T201 - a measurement
                f"\nn8n {running_n8n.n8n.version}, the {turn} list of {number} rows: "
                f"{before} MB before, {highest} MB at most, {after} MB after"
            )


async def test_n8n_restarts_while_a_list_waits(
    node: NodeUser, gateway: Client, running_n8n: RunningN8n
) -> None:
    """Some calls end while it is stopped, the others when it is up again."""
    execution_id = await node.start(rows_of(8), **WAITING)
    first, second = await wait_for_calls(gateway, 2)
    await node.editor.execution(execution_id, "waiting")
    await asyncio.to_thread(running_n8n.server.stop)
    await hang_up(gateway, first)
    await asyncio.to_thread(running_n8n.server.start)
    await hang_up(gateway, second)
    execution = await node.editor.execution(execution_id, *ENDED, limit=180)
    assert execution.status == "success", execution.error
    assert outcomes(execution) == expected(8)


async def test_two_executions_with_one_key_are_one_call(node: NodeUser, gateway: Client) -> None:
    """Both get its outcome, though its callback goes to the first only."""
    row = {**rows_of(1)[0], "idempotency_key": "ticket-1234"}
    first = await node.start([row], **WAITING)
    (call_id,) = await wait_for_calls(gateway, 1)
    await node.editor.execution(first, "waiting")
    second = await node.start([row], **WAITING)
    await node.editor.execution(second, "waiting")
    await hang_up(gateway, call_id)
    for execution_id in (first, second):
        execution = await node.editor.execution(execution_id, *ENDED, limit=180)
        assert outcomes(execution) == [(0, "answered")]
        assert [item["call_id"] for item in execution.outputs("Gateway")] == [call_id]
    assert len((await list_calls(gateway, "?include=ended"))["calls"]) == 1


async def test_the_time_limit_ends_the_wait(node: NodeUser, gateway: Client) -> None:
    """n8n looks once a minute for what is to go on."""
    execution_id = await node.start(rows_of(4), **WAITING | {"timeLimit": 0.1})
    execution = await node.editor.execution(execution_id, *ENDED, limit=180)
    (item, *_) = execution.outputs("Gateway")
    assert (item["outcome"], item["call_status"]) == ("time limit", "ongoing")
    assert outcomes(execution)[1:] == expected(4)[1:]
