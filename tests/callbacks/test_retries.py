"""Callbacks whose receivers refuse them, respond late or not at all."""

import asyncio

import pytest

from tests.api.test_dispatch import GUIDE, HEADERS, dispatch
from tests.callbacks.conftest import ALLOWED, FREQUENT, deliveries, finished, hang_up
from tests.conftest import Client, GatewayStarter, get_call
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.fakes.receiver import Receiver


@pytest.mark.parametrize("status", [409, 500, 503, 302, 404])
async def test_a_refused_callback_is_repeated_with_the_same_id(
    gateway: Client, receiver: Receiver, status: int
) -> None:
    receiver.answer = lambda number: status if number < 3 else 200
    _, dispatched = await dispatch(gateway, callback_url=receiver.url)
    await hang_up(gateway, dispatched["call_id"])
    await receiver.received(5)
    assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
    assert len({headers["webhook-id"] for headers, _, _ in receiver.raw[:3]}) == 1
    first = (await finished(gateway, dispatched["call_id"], 3))[0]
    assert (first["status"], first["attempts"], first["last_status"]) == ("delivered", 3, 200)


async def test_a_failed_delivery_is_listed_and_can_be_retried(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={**ALLOWED, "give_up_after": 1})
    receiver.answer = lambda _: 410
    _, dispatched = await dispatch(gateway, callback_url=receiver.url)
    (failed,) = await finished(gateway, dispatched["call_id"], 1)
    assert (failed["status"], failed["last_error"]) == ("failed", "answered 410 Gone")
    receiver.answer = lambda _: 200
    path = f"/livekit-api/calls/{dispatched['call_id']}/deliveries/{failed['delivery_id']}/retry"
    async with gateway.post(path, headers=HEADERS) as retried:
        assert retried.status == 200
    (delivered,) = await finished(gateway, dispatched["call_id"], 1)
    assert (delivered["status"], delivered["attempts"]) == ("delivered", 2)
    async with gateway.post(path.replace("dlv_", "x"), headers=HEADERS) as unknown:
        assert unknown.status == 404
    async with gateway.post(path) as without_key:
        assert without_key.status == 401


async def test_a_receiver_that_does_not_respond_delays_no_other(
    gateway: Client, receiver: Receiver
) -> None:
    async with Receiver(hang_until=asyncio.Event()).serving() as silent:
        _, delayed = await dispatch(gateway, callback_url=silent.url)
        await silent.received(1)
        status, dispatched = await dispatch(gateway, callback_url=receiver.url)
        assert status == 200
        await hang_up(gateway, delayed["call_id"])
        await hang_up(gateway, dispatched["call_id"])
        await receiver.received(3)
        assert (await deliveries(gateway, delayed["call_id"]))[0]["status"] == "pending"


async def test_a_receiver_that_is_down_is_tried_again(gateway: Client) -> None:
    _, dispatched = await dispatch(gateway, callback_url="http://127.0.0.1:9/?secret=1")
    async with asyncio.timeout(5):
        while (first := (await deliveries(gateway, dispatched["call_id"]))[0])["attempts"] < 2:
            await asyncio.sleep(0.01)
    assert first["last_status"] is None
    assert "secret" not in first["last_error"]


@pytest.mark.field("E3")
async def test_the_first_failure_is_a_warning(
    gateway: Client, receiver: Receiver, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.answer = lambda number: 503 if number < 4 else 200
    _, dispatched = await dispatch(gateway, callback_url=f"{receiver.url}/hook?signature=hush")
    await finished(gateway, dispatched["call_id"], 1)
    lines = capsys.readouterr().out.splitlines()
    (warning,) = [line for line in lines if "callback.retrying" in line]
    assert "warning" in warning
    assert dispatched["call_id"] in warning
    assert "answered 503 Service Unavailable" in warning
    assert f"{receiver.url}/hook" in warning
    assert "hush" not in warning


async def test_two_hundred_calls_while_every_third_delivery_fails(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, receiver: Receiver
) -> None:
    gateway = await start_gateway(
        # The receiver shares this process, which may be busy: nothing is sent again for that.
        callbacks={**ALLOWED, "timeout": 60},
        monitor=FREQUENT,
        outbound={"max_active_calls": 1000},
        limits={"dispatch_burst": 1000},
        livekit={"timeout": 8},  # the fake shares this process, which may be busy
    )
    receiver.answer = lambda number: 500 if number % 3 == 0 else 200
    outcomes = [None, (486, "Busy Here"), (403, "Forbidden auth ID"), (480, "Unavailable")]
    loop = asyncio.get_running_loop()

    async def dispatch_call(number: int) -> str:
        destination = f"6140201{number:04}"
        fake_livekit.callees[destination] = Callee(sip=outcomes[number % len(outcomes)])
        body = {
            **GUIDE,
            "destination": destination,
            "callback_url": receiver.url,
            "wait": "none",
            "idempotency_key": str(number),
        }
        async with gateway.post("/dispatch", json=body, headers=HEADERS) as response:
            assert response.status == 200
            call_id: str = (await response.json())["call_id"]
        return call_id

    began = loop.time()
    requests = []
    for number in range(200):
        await asyncio.sleep(max(0.0, began + number / 60 - loop.time()))
        requests.append(asyncio.create_task(dispatch_call(number)))
    call_ids = await asyncio.gather(*requests)
    assert len(set(call_ids)) == 200
    for call_id in call_ids[::4]:
        await hang_up(gateway, call_id)

    listed = [
        delivery
        for number, call_id in enumerate(call_ids)
        for delivery in await finished(gateway, call_id, 2 if number % 4 else 3)
    ]
    for call_id in call_ids:
        assert (await get_call(gateway, call_id))["end_timestamp"]
    expected = sorted(delivery["event_id"] for delivery in listed)
    assert sorted(body["event_id"] for body in receiver.bodies) == expected
    assert len(set(expected)) == len(expected) == 50 * 3 + 150 * 2
    assert {delivery["status"] for delivery in listed} == {"delivered"}
