"""The shipped workflows in a real n8n, against the gateway; only LiveKit is played."""

import json

import pytest

from tests.api.test_livekit import send
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter, listed, shown
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.n8n.conftest import (
    CALL_EVENTS,
    CALLBACK_HEADER,
    DISPATCH,
    DISPATCH_AND_WAIT,
    Started,
    User,
    eventually,
    node,
)
from tests.n8n.editor import DONE, JSON, Run

pytestmark = pytest.mark.timeout(300)

DESTINATION = "+15550100"
HEADERS = {"X-API-Key": DISPATCH_KEY}


@pytest.fixture
def start_gateway(start_gateway: GatewayStarter) -> GatewayStarter:
    """A gateway that may call n8n back."""

    async def start(**sections: JSON) -> Client:
        (header,) = (f"{name}: {value}" for name, value in CALLBACK_HEADER.items())
        callbacks = {"allowed_hosts": ["127.0.0.1"], **sections.pop("callbacks", {})}
        return await start_gateway({"CALLBACK_HEADER": header}, callbacks=callbacks, **sections)

    return start


async def hang_up(gateway: Client, call_id: str) -> None:
    async with gateway.post(f"/livekit-api/calls/{call_id}/hangup", headers=HEADERS) as answer:
        assert answer.status == 200, await answer.text()


async def agent_tells(gateway: Client, call_id: str, event: str, **more: object) -> None:
    body = json.dumps({"event": event, "job_id": "AJ_1", **more}).encode()
    assert await send(gateway, f"/livekit-api/calls/{call_id}/report", body) == 204


async def the_call(gateway: Client) -> JSON:
    """The one call there is, once there is one."""

    async def found() -> JSON | None:
        calls: list[JSON] = (await listed(gateway, "?include=ended"))["calls"]
        return calls[0] if calls else None

    return await eventually(found)


async def dispatched(user: User, gateway: Client) -> Run:
    return await user.executes(await user.sets_up(DISPATCH, gateway_url(gateway)))


def gateway_url(gateway: Client) -> str:
    return str(gateway.make_url("")).rstrip("/")


async def test_a_call_is_made(user: User, gateway: Client, fake_livekit: FakeLiveKit) -> None:
    said = (await dispatched(user, gateway)).output("Accepted")
    call = await shown(gateway, said["call_id"])
    assert call["call_status"] == said["call_status"] == "ongoing"
    assert (call["to_number"], call["from_number"]) == (DESTINATION, "+15550199")
    assert call["metadata"]["ticket_id"] == "INC-1234"


async def test_the_carrier_refuses_the_caller_id(
    user: User, gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees[DESTINATION] = Callee(sip=(403, "Forbidden auth ID"))
    said = (await dispatched(user, gateway)).output("Refused")
    assert (said["message"], said["sip_status"]) == ("403 Forbidden auth ID", 403)


async def test_no_worker_runs(user: User, start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(agent={"name": "nobody"}, outbound={"agent_timeout": 0.2})
    said = (await dispatched(user, gateway)).output("Not accepted")
    assert (said["status"], said["error"]) == (503, "no_agent")


async def test_a_wrong_api_key(user: User, gateway: Client) -> None:
    user.credentials["Dispatch"] = await user.editor.header_auth("X-API-Key", "guessed")
    said = (await dispatched(user, gateway)).output("Not accepted")
    assert said["status"] == 401


async def test_a_full_gateway_takes_the_call_later(
    user: User, start_gateway: GatewayStarter, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refusal() -> str | None:
        said = capsys.readouterr().out
        return said if "too_many_calls" in said else None

    gateway = await start_gateway(outbound={"max_active_calls": 1})
    first = (await dispatched(user, gateway)).output("Accepted")["call_id"]
    workflow = await user.sets_up(DISPATCH, gateway_url(gateway))
    execution = await user.editor.execute(workflow)
    await eventually(refusal)
    await hang_up(gateway, first)
    second = (await user.editor.until(execution, *DONE)).output("Accepted")["call_id"]
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
async def test_waiting_for_a_call_that_does_not_connect(
    sip: tuple[int, str],
    outcome: str,
    user: User,
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
) -> None:
    """The callback may come before n8n waits for it: it is repeated."""
    gateway = await start_gateway()
    fake_livekit.callees[DESTINATION] = Callee(sip=sip)
    run = await user.executes(await user.sets_up(DISPATCH_AND_WAIT, gateway_url(gateway)))
    call = await the_call(gateway)
    assert run.output("Outcome") == {
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
async def test_waiting_for_the_end_of_a_conversation(
    end: str, outcome: str, reason: str, user: User, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway()
    workflow = await user.sets_up(DISPATCH_AND_WAIT, gateway_url(gateway))
    execution = await user.editor.execute(workflow)
    await user.editor.until(execution, "waiting")
    call_id = (await the_call(gateway))["call_id"]
    if end == "hangup":
        await hang_up(gateway, call_id)
    else:
        await agent_tells(gateway, call_id, end, detail="RuntimeError: no more words")
    said = (await user.editor.until(execution, *DONE)).output("Outcome")
    assert (said["outcome"], said["disconnection_reason"]) == (outcome, reason)
    assert said["duration_ms"] > 0

    async def delivery() -> JSON | None:
        (one,) = (await shown(gateway, call_id))["deliveries"]
        return one if one["status"] != "pending" else None

    delivered = await eventually(delivery)
    assert (delivered["event"], delivered["status"]) == ("call_ended", "delivered")


async def test_waiting_for_a_call_that_no_agent_takes(
    user: User, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(agent={"name": "nobody"}, outbound={"agent_timeout": 0.2})
    run = await user.executes(await user.sets_up(DISPATCH_AND_WAIT, gateway_url(gateway)))
    said = run.output("Outcome")
    assert said["outcome"] == "not dispatched"
    assert "no worker accepted the job" in said["message"]


async def test_all_events_of_a_call(
    user: User, start_gateway: GatewayStarter, started: Started
) -> None:
    workflow = await user.sets_up(CALL_EVENTS)
    await user.editor.activate(workflow)
    path = node(workflow, "Gateway calls")["parameters"]["path"]
    gateway = await start_gateway(callbacks={"urls": [f"{started.n8n.url}/webhook/{path}"]})
    before = await user.editor.executions(workflow["id"])

    call_id = (await dispatched(user, gateway)).output("Accepted")["call_id"]
    await hang_up(gateway, call_id)
    await agent_tells(gateway, call_id, "agent_ended", report={"summary": "all is well"})

    runs = await user.later(workflow, before, 3)
    outputs = [
        run.output(name)
        for run, name in zip(runs, ("Call started", "Call ended", "Call analyzed"), strict=True)
    ]
    assert {output["call_id"] for output in outputs} == {call_id}
    assert outputs[1]["disconnection_reason"] == "manual_stopped"
    assert outputs[2]["report"] == {"summary": "all is well"}
