"""Callbacks of a call: their contents, their receivers and their signatures."""

import asyncio
import base64
import json
import secrets

import pytest
from standardwebhooks import Webhook

from tests.api.test_dispatch import dispatch
from tests.api.test_livekit import tell
from tests.callbacks.conftest import ALLOWED, FREQUENT, finished, hang_up, report
from tests.conftest import CALLBACK_SECRET, Client, GatewayStarter, get_call
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.fakes.receiver import Receiver


async def test_a_conversation_causes_three_callbacks_in_order(
    gateway: Client, receiver: Receiver
) -> None:
    _, dispatched = await dispatch(gateway, callback_url=receiver.url)
    call_id = dispatched["call_id"]
    await hang_up(gateway, call_id)
    await report(gateway, call_id, {"transcript": [{"role": "agent", "text": "Hello"}]})
    await receiver.received(3)
    assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
    started, ended, analyzed = receiver.bodies
    assert started["call"]["call_status"] == "ongoing"
    assert ended["call"]["disconnection_reason"] == "manual_stopped"
    assert ended["call"]["metadata"]["ticket_id"] == "INC-1234"
    assert analyzed["call"]["report"]["transcript"][0]["text"] == "Hello"
    assert [body["event_id"] for body in receiver.bodies] == [
        f"evt_{call_id}_{event}" for event in receiver.events
    ]


async def test_the_analysis_of_a_call_is_where_retell_has_it(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    """The report may come after the end, which the agent reports before."""
    gateway = await start_gateway(callbacks={**ALLOWED, "report_timeout": 10}, monitor=FREQUENT)
    _, dispatched = await dispatch(gateway, callback_url=receiver.url)
    call_id = dispatched["call_id"]
    await tell(gateway, call_id, "agent_ended", disconnection_reason="inactivity")
    await receiver.received(2)
    analysis = {"call_summary": "Nobody spoke.", "custom_analysis_data": {"booked": False}}
    await report(gateway, call_id, {"call_analysis": analysis}, "agent_report")
    await receiver.received(3)
    assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
    _, ended, analyzed = receiver.bodies
    assert ended["call"]["disconnection_reason"] == "inactivity"
    assert "call_analysis" not in ended["call"]
    assert analyzed["call"]["call_analysis"] == analysis
    assert (await get_call(gateway, call_id))["call_analysis"] == analysis


async def test_a_report_may_have_anything_for_an_analysis(
    gateway: Client, receiver: Receiver
) -> None:
    _, dispatched = await dispatch(gateway, callback_url=receiver.url)
    await hang_up(gateway, dispatched["call_id"])
    await report(gateway, dispatched["call_id"], {"call_analysis": "none"}, "agent_report")
    await receiver.received(3)
    assert receiver.bodies[2]["call"]["call_analysis"] is None


async def test_a_call_that_was_not_connected_causes_callbacks_too(
    gateway: Client, receiver: Receiver, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees["61402012298"] = Callee(sip=(486, "Busy Here"))
    await dispatch(gateway, callback_url=receiver.url)
    await receiver.received(2)
    assert receiver.events == ["call_ended", "call_analyzed"]
    call = receiver.bodies[0]["call"]
    assert call["disconnection_reason"] == "dial_busy"
    assert call["sip"] == {"status": 486, "reason": "Busy Here"}
    assert receiver.bodies[1]["call"]["report"] is None


async def test_only_the_requested_events_are_sent(gateway: Client, receiver: Receiver) -> None:
    events = ["call_ended"]
    _, dispatched = await dispatch(gateway, callback_url=receiver.url, callback_events=events)
    await hang_up(gateway, dispatched["call_id"])
    await finished(gateway, dispatched["call_id"], 1)
    await asyncio.sleep(0.2)  # the report's timeout would cause another callback
    assert receiver.events == events


async def test_configured_receivers_get_the_callbacks_of_every_call(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    async with Receiver().serving() as configured:
        gateway = await start_gateway(
            callbacks={**ALLOWED, "urls": [f"{configured.url}/all"]}, monitor=FREQUENT
        )
        _, dispatched = await dispatch(gateway, callback_url=receiver.url)
        await hang_up(gateway, dispatched["call_id"])
        await receiver.received(3)
        await configured.received(3)
        assert configured.events == receiver.events


async def test_a_callback_is_signed_and_has_the_configured_header(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway({"CALLBACK_HEADER": "X-Callback-Key: hush"}, callbacks=ALLOWED)
    await dispatch(gateway, callback_url=receiver.url)
    await receiver.received(1)
    headers, body, _ = receiver.raw[0]
    assert Webhook(CALLBACK_SECRET).verify(body, headers)["event"] == "call_started"
    assert headers["X-Callback-Key"] == "hush"
    assert headers["webhook-id"] == receiver.bodies[0]["event_id"]
    assert headers["Content-Type"] == "application/json"


async def test_a_callback_is_signed_with_both_secrets_while_one_is_rotated(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    new = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    env = {"CALLBACK_SECRET": f"{new}, {CALLBACK_SECRET}"}
    gateway = await start_gateway(env, callbacks=ALLOWED)
    await dispatch(gateway, callback_url=receiver.url)
    await receiver.received(1)
    headers, body, _ = receiver.raw[0]
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (new, CALLBACK_SECRET):
        assert Webhook(secret).verify(body, headers)["event"] == "call_started"


async def test_the_query_of_a_url_is_sent_as_given_and_shown_nowhere(
    gateway: Client, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "?signature=a%2Fb+c%20d&x=%C3%BC=="
    _, dispatched = await dispatch(gateway, callback_url=f"{receiver.url}/resume/1{query}")
    await receiver.received(1)
    assert receiver.raw[0][2] == f"/resume/1{query}"
    (listed,) = await finished(gateway, dispatched["call_id"], 1)
    assert listed["url"] == f"{receiver.url}/resume/1"
    assert "signature=" not in json.dumps(await get_call(gateway, dispatched["call_id"]))
    assert "signature=" not in capsys.readouterr().out
