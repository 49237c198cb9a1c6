"""The node in a real n8n, with the real livekit-server, worker and gateway: every action.

The callee is a WebRTC participant; tests/sip has real SIP legs.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.tools.simulate.caller import Caller, sip_token
from gateway.tools.simulate.outbound import DispatchRequest
from tests.conftest import CALLBACK_SECRET
from tests.livekit.conftest import DIALED_BY_AGENT, RealServers, livekit_binary, real_servers
from tests.n8n.conftest import NodeUser, eventually
from tests.n8n.editor import ENDED, JSON, Editor

__all__ = ["livekit_binary"]  # a fixture

# The first test waits until n8n and the worker have started.
pytestmark = pytest.mark.timeout(300)

LIMIT = 30.0
WRONG = "not a number"


@pytest.fixture(scope="module")
def real(livekit_binary: None) -> Iterator[RealServers]:
    settings = {
        **DIALED_BY_AGENT,
        "GATEWAY__TRANSFER__ALLOWED": "+1555*",
        "CALLBACK_SECRET": CALLBACK_SECRET,
    }
    with real_servers(**settings) as servers:
        yield servers


@pytest.fixture
async def node(editor: Editor, real: RealServers) -> NodeUser:
    node = NodeUser(editor)
    await node.use(real.url)
    return node


async def get(node: NodeUser, call_id: str) -> JSON:
    return (await node.executed([{}], operation="get", call_id=call_id)).output("Gateway")


async def call_with(node: NodeUser, call_id: str, status: str) -> JSON:
    """The call, once it has this status."""

    async def has_it() -> JSON | None:
        call = await get(node, call_id)
        return call if call["call_status"] == status else None

    return await eventually(has_it, limit=LIMIT)


@asynccontextmanager
async def answered(real: RealServers, call_id: str) -> AsyncIterator[Caller]:
    """The callee, who hears the agent, and hangs up at the end."""
    token = sip_token(real.config, call_id, DispatchRequest.destination)
    async with Caller.joined(real.config.livekit.url, token) as callee:
        await asyncio.wait_for(callee.agent_audio(), LIMIT)
        await asyncio.wait_for(callee.agent_heard(), LIMIT)
        yield callee


async def dispatched(node: NodeUser) -> str:
    call_id: str = (await node.executed([DispatchRequest().body()])).output("Gateway")["call_id"]
    return call_id


async def test_a_conversation_is_the_outcome_of_its_row(node: NodeUser, real: RealServers) -> None:
    execution_id = await node.start(
        [DispatchRequest().body(), {**DispatchRequest().body(), "destination": WRONG}],
        operation="dispatchAndWait",
        timeLimit=60,
    )
    filters = {"status": "registered"}

    async def registered() -> str | None:
        listed = await node.executed([{}], operation="getMany", filters=filters)
        calls = listed.outputs("Gateway")
        return calls[0]["call_id"] if calls else None

    call_id = await eventually(registered, limit=60)
    async with answered(real, call_id):
        await asyncio.sleep(0.5)
    execution = await node.editor.execution(execution_id, *ENDED, limit=180)
    outcome, wrong = execution.outputs("Gateway")
    assert (outcome["outcome"], outcome["call_id"]) == ("answered", call_id)
    assert outcome["disconnection_reason"] == "user_hangup"
    assert outcome["duration_ms"] > 0
    assert wrong["outcome"] == "not dispatched"
    assert (await get(node, call_id))["call_status"] == "ended"


async def test_a_call_is_dispatched_found_and_hung_up(node: NodeUser, real: RealServers) -> None:
    call_id = await dispatched(node)
    async with answered(real, call_id) as callee:
        call = await call_with(node, call_id, "ongoing")
        assert call["to_number"] == DispatchRequest.destination
        assert call["metadata"]["ticket_id"] == "INC-1234"
        ongoing = await node.executed([{}], operation="getMany", filters={"status": "ongoing"})
        assert [item["call_id"] for item in ongoing.outputs("Gateway")] == [call_id]
        hung_up = await node.executed([{}], operation="hangUp", call_id=call_id)
        assert hung_up.output("Gateway")["disconnection_reason"] == "manual_stopped"
        await asyncio.wait_for(callee.hung_up.wait(), LIMIT)
    call = await call_with(node, call_id, "ended")
    assert call["disconnection_reason"] == "manual_stopped"
    filters = {"to_number": DispatchRequest.destination}
    listed = await node.executed([{}], operation="getMany", includeEnded=True, filters=filters)
    assert call_id in [item["call_id"] for item in listed.outputs("Gateway")]


async def test_a_transfer_is_answered_as_by_the_gateway(node: NodeUser, real: RealServers) -> None:
    call_id = await dispatched(node)

    async def transferred(target: str) -> JSON:
        node.settings["onError"] = "continueRegularOutput"
        execution = await node.executed(
            [{}], operation="transfer", call_id=call_id, target=target, kind="cold"
        )
        return execution.output("Gateway")

    async with answered(real, call_id):
        await call_with(node, call_id, "ongoing")
        foreign = await transferred("+61491570156")
        assert (foreign["status"], foreign["error"]) == (403, "transfer_not_allowed")
        allowed = await transferred("+15550102")
        assert (allowed["status"], allowed["error"]) == (502, "livekit_refused")
        assert "no SIP session" in allowed["message"]  # the callee comes by WebRTC
        call = await get(node, call_id)
        assert (call["call_status"], call["transfer"]["target"]) == ("ongoing", "+15550102")
        assert call["transfer"]["ended_at"]
    call = await call_with(node, call_id, "ended")
    assert call["disconnection_reason"] == "user_hangup"


async def test_a_bad_number_is_an_error_that_names_the_field(node: NodeUser) -> None:
    execution = await node.executed([{**DispatchRequest().body(), "destination": WRONG}])
    assert execution.status == "error"
    assert execution.error
    assert execution.error["message"].startswith("destination: ")
