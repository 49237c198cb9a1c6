"""The shipped workflows in a real n8n, with the gateway; only LiveKit is a fake."""

import pytest

from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, get_call, list_calls
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.n8n.conftest import (
    CALL_EVENTS,
    DISPATCH,
    DISPATCH_AND_WAIT,
    RunningN8n,
    User,
    eventually,
    gateway_url,
    hang_up,
    node_of,
    report,
)
from tests.n8n.editor import ENDED, JSON, Execution

pytestmark = pytest.mark.timeout(300)

DESTINATION = "+15550100"
HEADERS = {"X-API-Key": DISPATCH_KEY}


async def only_call(gateway: Client) -> JSON:
    """The gateway's only call, once it has one."""

    async def first() -> JSON | None:
        calls: list[JSON] = (await list_calls(gateway, "?include=ended"))["calls"]
        return calls[0] if calls else None

    return await get_call(gateway, (await eventually(first))["call_id"])


async def dispatched(user: User, gateway: Client) -> Execution:
    return await user.execute(await user.set_up(DISPATCH, gateway_url(gateway)))


async def test_a_dispatched_call_is_ongoing(
    user: User, gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    output = (await dispatched(user, gateway)).output("Accepted")
    call = await get_call(gateway, output["call_id"])
    assert call["call_status"] == output["call_status"] == "ongoing"
    assert (call["to_number"], call["from_number"]) == (DESTINATION, "+15550199")
    assert call["metadata"]["ticket_id"] == "INC-1234"


async def test_a_call_that_the_carrier_refuses(
    user: User, gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees[DESTINATION] = Callee(sip=(403, "Forbidden auth ID"))
    output = (await dispatched(user, gateway)).output("Refused")
    assert (output["message"], output["sip_status"]) == ("403 Forbidden auth ID", 403)


async def test_a_dispatch_without_a_worker(user: User, start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(
        agent={"name": "without-a-worker"}, outbound={"agent_timeout": 0.2}
    )
    output = (await dispatched(user, gateway)).output("Not accepted")
    assert (output["status"], output["error"]) == (503, "no_agent")


async def test_a_dispatch_with_a_wrong_api_key(user: User, gateway: Client) -> None:
    user.credentials["Dispatch"] = await user.editor.create_header_auth("X-API-Key", "guessed")
    output = (await dispatched(user, gateway)).output("Not accepted")
    assert output["status"] == 401


async def test_a_dispatch_is_repeated_until_the_gateway_accepts_it(
    user: User, start_gateway: GatewayStarter, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refusal() -> str | None:
        log = capsys.readouterr().out
        return log if "too_many_calls" in log else None

    gateway = await start_gateway(outbound={"max_active_calls": 1})
    first = (await dispatched(user, gateway)).output("Accepted")["call_id"]
    workflow = await user.set_up(DISPATCH, gateway_url(gateway))
    execution_id = await user.editor.execute(workflow)
    await eventually(refusal)
    await hang_up(gateway, first)
    second = (await user.editor.execution(execution_id, *ENDED)).output("Accepted")["call_id"]
    assert second != first


@pytest.mark.parametrize(
    ("sip", "outcome"),
    [
        ((486, "Busy Here"), "busy"),
        ((480, "Temporarily Unavailable"), "no answer"),
        ((603, "Decline"), "declined"),
        ((404, "Not Found"), "failed"),
        ((403, "Forbidden auth ID"), "failed"),
    ],
)
async def test_the_outcome_of_a_call_that_is_not_connected(
    sip: tuple[int, str],
    outcome: str,
    user: User,
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
) -> None:
    """The gateway may deliver the callback before n8n waits for it; then it repeats it."""
    gateway = await start_gateway()
    fake_livekit.callees[DESTINATION] = Callee(sip=sip)
    execution = await user.execute(await user.set_up(DISPATCH_AND_WAIT, gateway_url(gateway)))
    call = await only_call(gateway)
    assert execution.output("Outcome") == {
        "outcome": outcome,
        "call_id": call["call_id"],
        "call_status": "not_connected",
        "disconnection_reason": call["disconnection_reason"],
        "duration_ms": 0,
        "sip_status": sip[0],
        "message": sip[1],
        "metadata": call["metadata"],
    }


@pytest.mark.parametrize(
    ("end", "outcome", "reason"),
    [("hangup", "answered", "manual_stopped"), ("agent_failed", "failed", "agent_error")],
)
async def test_the_outcome_of_a_call_that_is_answered(
    end: str, outcome: str, reason: str, user: User, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway()
    workflow = await user.set_up(DISPATCH_AND_WAIT, gateway_url(gateway))
    execution_id = await user.editor.execute(workflow)
    await user.editor.execution(execution_id, "waiting")
    call_id = (await only_call(gateway))["call_id"]
    if end == "hangup":
        await hang_up(gateway, call_id)
    else:
        await report(gateway, call_id, end, detail="RuntimeError: no more words")
    output = (await user.editor.execution(execution_id, *ENDED)).output("Outcome")
    assert (output["outcome"], output["disconnection_reason"]) == (outcome, reason)
    assert output["duration_ms"] > 0

    async def delivery() -> JSON | None:
        (callback,) = (await get_call(gateway, call_id))["deliveries"]
        return callback if callback["status"] != "pending" else None

    callback = await eventually(delivery)
    assert (callback["event"], callback["status"]) == ("call_ended", "delivered")


async def test_the_outcome_of_a_dispatch_without_a_worker(
    user: User, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(
        agent={"name": "without-a-worker"}, outbound={"agent_timeout": 0.2}
    )
    execution = await user.execute(await user.set_up(DISPATCH_AND_WAIT, gateway_url(gateway)))
    output = execution.output("Outcome")
    assert output["outcome"] == "not dispatched"
    assert "no agent could be heard" in output["message"]


async def test_every_callback_of_a_call_reaches_its_node(
    user: User, start_gateway: GatewayStarter, running_n8n: RunningN8n
) -> None:
    workflow = await user.set_up(CALL_EVENTS)
    await user.editor.activate(workflow)
    path = node_of(workflow, "Gateway calls")["parameters"]["path"]
    gateway = await start_gateway(callbacks={"urls": [f"{running_n8n.n8n.url}/webhook/{path}"]})
    known = await user.editor.executions(workflow["id"])

    call_id = (await dispatched(user, gateway)).output("Accepted")["call_id"]
    await hang_up(gateway, call_id)
    await report(gateway, call_id, "agent_ended", report={"summary": "all is well"})

    executions = await user.new_executions(workflow, known, 3)
    nodes = ("Call started", "Call ended", "Call analyzed")
    outputs = [execution.output(node) for execution, node in zip(executions, nodes, strict=True)]
    assert {output["call_id"] for output in outputs} == {call_id}
    assert outputs[1]["disconnection_reason"] == "manual_stopped"
    assert outputs[2]["report"] == {"summary": "all is well"}
