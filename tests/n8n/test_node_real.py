"""The node in a real n8n, with the real livekit-server, worker and gateway: one conversation.

The callee is a WebRTC participant; tests/sip has real SIP legs.
"""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.tools.simulate.caller import Caller, sip_token
from gateway.tools.simulate.outbound import DispatchRequest
from tests.conftest import CALLBACK_SECRET, DISPATCH_KEY
from tests.livekit.conftest import RealServers, livekit_binary, real_servers
from tests.n8n.conftest import NodeUser, eventually
from tests.n8n.editor import ENDED, Editor

__all__ = ["livekit_binary"]  # a fixture

# The first test waits until n8n and the worker have started.
pytestmark = pytest.mark.timeout(300)

LIMIT = 30.0


@pytest.fixture(scope="module")
def real(livekit_binary: None) -> Iterator[RealServers]:
    settings = {
        "GATEWAY__OUTBOUND__DIALED_BY": "agent",
        "GATEWAY__OUTBOUND__EARLY_FAILURE_WINDOW": "0",
        # A loaded machine starts an agent in seconds.
        "GATEWAY__OUTBOUND__AGENT_TIMEOUT": "20",
        "GATEWAY__CALLBACKS__ALLOWED_HOSTS": "127.0.0.1",
        "GATEWAY_API_KEYS": f"n8n:dispatch:{DISPATCH_KEY}",
        "CALLBACK_SECRET": CALLBACK_SECRET,
    }
    with real_servers(**settings) as servers:
        yield servers


async def test_a_conversation_is_the_outcome_of_its_row(editor: Editor, real: RealServers) -> None:
    node = NodeUser(editor)
    await node.use(real.url)
    execution_id = await node.start(
        [DispatchRequest().body()], operation="dispatchAndWait", timeLimit=60
    )
    filters = {"status": "registered"}

    async def registered() -> str | None:
        listed = await node.executed([{}], operation="getMany", filters=filters)
        calls = listed.outputs("Gateway")
        return calls[0]["call_id"] if calls else None

    call_id = await eventually(registered, limit=60)
    token = sip_token(real.config, call_id, "+15550123")
    async with Caller.joined(real.config.livekit.url, token) as callee:
        await asyncio.wait_for(callee.agent_audio(), LIMIT)
        await asyncio.wait_for(callee.agent_heard(), LIMIT)
        await asyncio.sleep(0.5)
    execution = await editor.execution(execution_id, *ENDED, limit=180)
    outcome = execution.output("Gateway")
    assert (outcome["outcome"], outcome["call_id"]) == ("answered", call_id)
    assert outcome["disconnection_reason"] == "user_hangup"
    assert outcome["duration_ms"] > 0
    got = (await node.executed([{}], operation="get", call_id=call_id)).output("Gateway")
    assert got["call_status"] == "ended"
