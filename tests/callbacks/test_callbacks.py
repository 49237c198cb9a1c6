"""Callbacks: what is told, to whom, signed how, and what happens when nobody listens."""

import asyncio
import base64
import json
import secrets
from typing import Any

import pytest
from standardwebhooks import Webhook

from gateway.callbacks import delivery
from gateway.callbacks.sender import Sender
from gateway.config.settings import CallbackSettings
from tests.api.test_dispatch import GUIDE, HEADERS, dispatch
from tests.api.test_livekit import send
from tests.conftest import CALLBACK_SECRET, Client, GatewayStarter, shown
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.fakes.receiver import Receiver

ALLOWED = {"allowed_hosts": ["127.0.0.1"], "report_timeout": 0.1}
QUICK = {"interval": 0.05}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of seconds would make these tests wait for nothing."""
    monkeypatch.setattr(delivery, "LONGEST_BACKOFF", 0.02)


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(callbacks=ALLOWED, monitor=QUICK)


async def hang_up(gateway: Client, call_id: str) -> None:
    async with gateway.post(f"/livekit-api/calls/{call_id}/hangup", headers=HEADERS) as answer:
        assert answer.status == 200


async def report(gateway: Client, call_id: str, content: dict[str, object]) -> None:
    body = json.dumps({"event": "agent_ended", "job_id": "AJ_1", "report": content}).encode()
    assert await send(gateway, f"/livekit-api/calls/{call_id}/report", body) == 204


async def deliveries(gateway: Client, call_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await shown(gateway, call_id))["deliveries"]
    return found


async def settled(gateway: Client, call_id: str, number: int) -> list[dict[str, Any]]:
    """The call's deliveries, once there are `number` and none is under way."""
    async with asyncio.timeout(10):
        while True:
            found = await deliveries(gateway, call_id)
            if len(found) >= number and all(one["status"] != "pending" for one in found):
                return found
            await asyncio.sleep(0.01)


async def test_a_conversation_is_told_in_order(gateway: Client, receiver: Receiver) -> None:
    _, answer = await dispatch(gateway, callback_url=receiver.url)
    call_id = answer["call_id"]
    await hang_up(gateway, call_id)
    await report(gateway, call_id, {"transcript": [{"role": "agent", "text": "Hello"}]})
    await receiver.heard(3)
    assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
    started, ended, analyzed = receiver.bodies
    assert started["call"]["call_status"] == "ongoing"
    assert ended["call"]["disconnection_reason"] == "manual_stopped"
    assert ended["call"]["metadata"]["ticket_id"] == "INC-1234"
    assert analyzed["call"]["report"]["transcript"][0]["text"] == "Hello"
    assert [body["event_id"] for body in receiver.bodies] == [
        f"evt_{call_id}_{event}" for event in receiver.events
    ]


async def test_a_call_that_was_not_connected_is_told_too(
    gateway: Client, receiver: Receiver, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees["61402012298"] = Callee(sip=(486, "Busy Here"))
    await dispatch(gateway, callback_url=receiver.url)
    await receiver.heard(2)
    assert receiver.events == ["call_ended", "call_analyzed"]
    call = receiver.bodies[0]["call"]
    assert call["disconnection_reason"] == "dial_busy"
    assert call["sip"] == {"status": 486, "reason": "Busy Here"}
    assert receiver.bodies[1]["call"]["report"] is None


async def test_only_what_was_asked_for(gateway: Client, receiver: Receiver) -> None:
    _, answer = await dispatch(gateway, callback_url=receiver.url, callback_events=["call_ended"])
    await hang_up(gateway, answer["call_id"])
    await settled(gateway, answer["call_id"], 1)
    await asyncio.sleep(0.2)  # the report's time-out passes without another one
    assert receiver.events == ["call_ended"]


async def test_configured_receivers_hear_of_every_call(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    async with Receiver().listening() as other:
        gateway = await start_gateway(
            callbacks={**ALLOWED, "urls": [f"{other.url}/all"]}, monitor=QUICK
        )
        _, answer = await dispatch(gateway, callback_url=receiver.url)
        await hang_up(gateway, answer["call_id"])
        await receiver.heard(3)
        await other.heard(3)
        assert other.events == receiver.events


async def test_signed_with_a_fixed_header_besides(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway({"CALLBACK_HEADER": "X-Callback-Key: hush"}, callbacks=ALLOWED)
    await dispatch(gateway, callback_url=receiver.url)
    await receiver.heard(1)
    headers, body, _ = receiver.raw[0]
    assert Webhook(CALLBACK_SECRET).verify(body, headers)["event"] == "call_started"
    assert headers["X-Callback-Key"] == "hush"
    assert headers["webhook-id"] == receiver.bodies[0]["event_id"]
    assert headers["Content-Type"] == "application/json"


async def test_the_query_is_byte_exact_and_out_of_sight(
    gateway: Client, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    query = "?signature=a%2Fb+c%20d&x=%C3%BC=="
    _, answer = await dispatch(gateway, callback_url=f"{receiver.url}/resume/1{query}")
    await receiver.heard(1)
    assert receiver.raw[0][2] == f"/resume/1{query}"
    (listed,) = await settled(gateway, answer["call_id"], 1)
    assert listed["url"] == f"{receiver.url}/resume/1"
    assert "signature=" not in json.dumps(await shown(gateway, answer["call_id"]))
    assert "signature=" not in capsys.readouterr().out


async def test_while_a_secret_is_rotated_both_sign(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    new = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    env = {"CALLBACK_SECRET": f"{new}, {CALLBACK_SECRET}"}
    gateway = await start_gateway(env, callbacks=ALLOWED)
    await dispatch(gateway, callback_url=receiver.url)
    await receiver.heard(1)
    headers, body, _ = receiver.raw[0]
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (new, CALLBACK_SECRET):
        assert Webhook(secret).verify(body, headers)["event"] == "call_started"


@pytest.mark.parametrize("status", [409, 500, 503, 302, 404])
async def test_a_refused_delivery_is_repeated_under_the_same_id(
    gateway: Client, receiver: Receiver, status: int
) -> None:
    receiver.answer = lambda number: status if number < 3 else 200
    _, answer = await dispatch(gateway, callback_url=receiver.url)
    await hang_up(gateway, answer["call_id"])
    await receiver.heard(5)
    assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
    assert len({headers["webhook-id"] for headers, _, _ in receiver.raw[:3]}) == 1
    first = (await settled(gateway, answer["call_id"], 3))[0]
    assert (first["status"], first["attempts"], first["last_status"]) == ("delivered", 3, 200)


async def test_a_delivery_that_is_given_up_is_listed_and_can_be_retried(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={**ALLOWED, "give_up_after": 1})
    receiver.answer = lambda _: 410
    _, answer = await dispatch(gateway, callback_url=receiver.url)
    (failed,) = await settled(gateway, answer["call_id"], 1)
    assert (failed["status"], failed["last_error"]) == ("failed", "answered 410 Gone")
    receiver.answer = lambda _: 200
    path = f"/livekit-api/calls/{answer['call_id']}/deliveries/{failed['delivery_id']}/retry"
    async with gateway.post(path, headers=HEADERS) as retried:
        assert retried.status == 200
    (delivered,) = await settled(gateway, answer["call_id"], 1)
    assert (delivered["status"], delivered["attempts"]) == ("delivered", 2)
    async with gateway.post(path.replace("dlv_", "x"), headers=HEADERS) as unknown:
        assert unknown.status == 404
    async with gateway.post(path) as stranger:
        assert stranger.status == 401


async def test_a_receiver_that_hangs_holds_up_nobody(gateway: Client, receiver: Receiver) -> None:
    async with Receiver(hangs=asyncio.Event()).listening() as dead:
        _, stuck = await dispatch(gateway, callback_url=dead.url)
        await dead.heard(1)
        status, answer = await dispatch(gateway, callback_url=receiver.url)
        assert status == 200
        await hang_up(gateway, stuck["call_id"])
        await hang_up(gateway, answer["call_id"])
        await receiver.heard(3)
        assert (await deliveries(gateway, stuck["call_id"]))[0]["status"] == "pending"


async def test_nobody_listens(gateway: Client, receiver: Receiver) -> None:
    _, answer = await dispatch(gateway, callback_url="http://127.0.0.1:9/?secret=1")
    async with asyncio.timeout(5):
        while (one := (await deliveries(gateway, answer["call_id"]))[0])["attempts"] < 2:
            await asyncio.sleep(0.01)
    assert one["last_status"] is None
    assert "secret" not in one["last_error"]


async def test_a_name_that_leads_into_the_private_network(
    start_gateway: GatewayStarter, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
        found = {"hostname": host, "host": "127.0.0.1", "port": port}
        return [{**found, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)
    gateway = await start_gateway(monitor=QUICK)
    url = receiver.url.replace("127.0.0.1", "rebound.example.com")
    _, answer = await dispatch(gateway, callback_url=url)
    async with asyncio.timeout(5):
        while not (one := (await deliveries(gateway, answer["call_id"]))[0])["last_error"]:
            await asyncio.sleep(0.01)
    assert "private network" in one["last_error"]
    assert not receiver.raw


async def test_a_name_is_resolved_once_and_its_answer_is_what_is_connected_to(
    start_gateway: GatewayStarter, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """A second answer, the one that rebinding is about, is never asked for."""
    answers = ["127.0.0.1", "127.0.0.2"]

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
        found = {"hostname": host, "host": answers.pop(0), "port": port}
        return [{**found, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)
    monkeypatch.setattr("gateway.callbacks.sender.is_private", lambda host: host == "127.0.0.2")
    gateway = await start_gateway(monitor=QUICK)
    url = receiver.url.replace("127.0.0.1", "rebound.example.com")
    await dispatch(gateway, callback_url=url)
    await receiver.heard(1)
    assert receiver.raw[0][0]["Host"].startswith("rebound.example.com:")
    assert answers == ["127.0.0.2"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(
    start_gateway: GatewayStarter, receiver: Receiver, status: int
) -> None:
    gateway = await start_gateway(callbacks={**ALLOWED, "give_up_after": 1}, monitor=QUICK)
    async with Receiver().listening() as inside:
        receiver.answer = lambda _: status
        receiver.headers["Location"] = inside.url
        _, answer = await dispatch(gateway, callback_url=receiver.url)
        (failed,) = await settled(gateway, answer["call_id"], 1)
        assert (failed["status"], failed["last_status"]) == ("failed", status)
        assert not inside.raw


async def test_an_address_is_looked_at_again_before_anything_is_sent(receiver: Receiver) -> None:
    """However a delivery came into the outbox: addresses are not resolved, so nobody else does."""
    async with Sender.open(CallbackSettings()) as sender:
        answer = await sender.send(receiver.url, "{}", "evt_1")
    assert (answer.status, "private network" in answer.error) == (None, True)
    assert not receiver.raw


async def test_allowed_hosts_are_the_only_ones(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(callbacks={"allowed_hosts": ["*.example.com"]})
    status, error = await dispatch(gateway, callback_url="https://example.org/")
    assert status == 422
    assert "callbacks.allowed_hosts" in error["details"]["callback_url"][0]


async def test_two_hundred_calls_while_every_third_delivery_fails(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, receiver: Receiver
) -> None:
    gateway = await start_gateway(
        callbacks=ALLOWED,
        monitor=QUICK,
        outbound={"max_active_calls": 1000},
        limits={"dispatch_burst": 1000},
    )
    receiver.answer = lambda number: 500 if number % 3 == 0 else 200
    outcomes = [None, (486, "Busy Here"), (403, "Forbidden auth ID"), (480, "Unavailable")]
    loop = asyncio.get_running_loop()

    async def one(number: int) -> str:
        destination = f"6140201{number:04}"
        fake_livekit.callees[destination] = Callee(sip=outcomes[number % len(outcomes)])
        body = {
            **GUIDE,
            "destination": destination,
            "callback_url": receiver.url,
            "wait": "none",
            "idempotency_key": str(number),
        }
        async with gateway.post("/dispatch", json=body, headers=HEADERS) as answer:
            assert answer.status == 200
            call_id: str = (await answer.json())["call_id"]
        return call_id

    began = loop.time()
    asked = []
    for number in range(200):
        await asyncio.sleep(max(0.0, began + number / 60 - loop.time()))
        asked.append(asyncio.create_task(one(number)))
    call_ids = await asyncio.gather(*asked)
    assert len(set(call_ids)) == 200
    for call_id in call_ids[::4]:
        await hang_up(gateway, call_id)

    ends = [
        await settled(gateway, call_id, 2 if number % 4 else 3)
        for number, call_id in enumerate(call_ids)
    ]
    for call_id in call_ids:
        assert (await shown(gateway, call_id))["end_timestamp"]
    expected = sorted(one["event_id"] for found in ends for one in found)
    assert sorted(body["event_id"] for body in receiver.bodies) == expected
    assert len(set(expected)) == len(expected) == 50 * 3 + 150 * 2
    assert {one["status"] for found in ends for one in found} == {"delivered"}
