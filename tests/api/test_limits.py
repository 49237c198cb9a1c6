"""What is refused before it costs anything, and that calls which run do not feel it."""

import asyncio
import io
from typing import Any

import pytest
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.api.test_dispatch import GUIDE, HEADERS, dispatch
from tests.api.test_livekit import send
from tests.conftest import READ_KEY, Client, GatewayStarter, jambonz_for, list_calls
from tests.fakes.livekit import Callee, FakeLiveKit, Hang

PATIENT = {"timeout": 2}
REPEATED: dict[str, Any] = {"wait": "answer", "idempotency_key": "1"}


async def until_asked(fake: FakeLiveKit, kind: Any, number: int) -> None:
    async with asyncio.timeout(10):
        while len(fake.requested(kind)) < number:
            await asyncio.sleep(0.01)


async def post_hook(gateway: Client) -> tuple[int, str | None, Any]:
    jambonz = jambonz_for(gateway)
    # Signed or not is not looked at before there is room for it.
    body = {"call_sid": jambonz.call_sid}
    async with gateway.post("/livekit-api", json=body) as answer:
        return answer.status, answer.headers.get("Retry-After"), await answer.json()


async def test_overload_sheds_new_calls_and_leaves_those_that_run(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(limits={"max_requests": 5}, livekit=PATIENT)
    running = jambonz_for(gateway)
    (dial,) = await running.call_arrives()
    # One of them has the first call's connection, on which it does not wait long: it repeats.
    fake_livekit.failures.extend([Hang()] * 6)
    hanging = [asyncio.create_task(jambonz_for(gateway).call_arrives()) for _ in range(5)]
    await until_asked(fake_livekit, CreateRoomRequest, 6)

    surplus = await asyncio.gather(*(post_hook(gateway) for _ in range(100)))
    assert {(status, after) for status, after, _ in surplus} == {(503, "1")}
    assert {content["error"] for _, _, content in surplus} == {"overloaded"}
    async with gateway.get("/livekit-api/calls", headers={"X-API-Key": READ_KEY}) as answer:
        assert answer.status == 503
    # Hooks of the active call are still answered, while none of the requests above has ended.
    await running.far_status("in-progress")
    await running.status("completed")
    assert await running.dial_ends("/livekit-api/dial-action", "completed", "completed", 200) == []
    report = b'{"event": "agent_ended", "job_id": "AJ_1"}'
    call_id = dial["headers"]["X-Call-Id"]
    assert await send(gateway, f"/livekit-api/calls/{call_id}/report", report) == 204
    assert await send(gateway, "/livekit/webhook", b"{}") in {204, 400}
    assert not any(task.done() for task in hanging)

    verbs = await asyncio.gather(*hanging)
    assert {verb["verb"] for (verb, *_) in verbs} == {"sip:decline"}
    listing = await list_calls(gateway, "?include=ended")
    assert len(listing["calls"]) == 6
    assert listing["active"] == 0
    assert len(fake_livekit.requested(CreateRoomRequest)) == 7


async def test_room_is_made_again_by_whoever_leaves(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(limits={"max_requests": 1})
    for _ in range(5):
        assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
        status, _, _ = await post_hook(gateway)
        assert status == 401


async def test_dispatches_that_wait_for_an_answer_take_no_room_from_callers(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(limits={"max_requests": 1}, outbound={"max_active_calls": 2})
    rings = asyncio.Event()
    fake_livekit.callees["61402012298"] = Callee(rings=rings)
    waiting = [asyncio.create_task(dispatch(gateway, wait="answer")) for _ in range(2)]
    await until_asked(fake_livekit, CreateSIPParticipantRequest, 2)
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
    assert (await dispatch(gateway))[0] == 429
    rings.set()
    assert {status for status, _ in await asyncio.gather(*waiting)} == {200}


async def test_dispatches_have_a_bound_of_their_own(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(limits={"max_requests": 1}, outbound={"max_active_calls": 1})
    rings = asyncio.Event()
    fake_livekit.callees["61402012298"] = Callee(rings=rings)
    # Repeated, it waits for the same call: no cap on calls would ever be met.
    waiting = [asyncio.create_task(dispatch(gateway, **REPEATED)) for _ in range(3)]
    done, still = await asyncio.wait(waiting, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert [(await task)[1]["error"] for task in done] == ["overloaded"]
    rings.set()
    assert [(await task)[0] for task in still] == [200, 200]


async def test_both_directions_have_one_cap(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(limits={"max_active_calls": 2})
    assert (await dispatch(gateway))[0] == 200
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
    (decline,) = await jambonz_for(gateway).call_arrives()
    assert (decline["verb"], decline["status"]) == ("sip:decline", 486)
    async with gateway.post("/dispatch", json=GUIDE, headers=HEADERS) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0
        assert (await answer.json())["error"] == "too_many_calls"


async def test_the_rate_is_each_keys_own(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(
        {"GATEWAY_API_KEYS": "one:dispatch:first,two:dispatch:second"},
        limits={"dispatch_rate": 0.01, "dispatch_burst": 2},
    )
    headers = {"X-API-Key": "first", "Idempotency-Key": "1"}
    for expected in (200, 200, 429):
        # A repeated idempotency key is a request like any other.
        async with gateway.post("/dispatch", json=GUIDE, headers=headers) as answer:
            assert answer.status == expected
            content = await answer.json()
    assert content["error"] == "too_many_requests"
    assert 90 <= int(answer.headers["Retry-After"]) <= 100
    async with gateway.post("/dispatch", json=GUIDE, headers={"X-API-Key": "second"}) as answer:
        assert answer.status == 200
    async with gateway.post("/dispatch", json=GUIDE, headers={"X-API-Key": "guess"}) as answer:
        assert answer.status == 401


async def test_without_keys_the_rate_is_each_addresss(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(
        {"GATEWAY_API_KEYS": ""}, limits={"dispatch_rate": 0.01, "dispatch_burst": 1}
    )
    assert [(await dispatch(gateway))[0] for _ in range(2)] == [200, 429]


async def test_what_was_refused_is_counted(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(limits={"dispatch_rate": 0.01, "dispatch_burst": 1})
    for _ in range(3):
        await dispatch(gateway)
    headers = {"X-API-Key": READ_KEY}
    async with gateway.get("/livekit-api/diagnostics", headers=headers) as answer:
        assert (await answer.json())["refused"] == {"too_many_requests": 2}


@pytest.mark.parametrize(("size", "status"), [(500, 200), (2000, 431)])
async def test_the_headers_together_are_bounded(
    start_gateway: GatewayStarter, size: int, status: int
) -> None:
    gateway = await start_gateway(limits={"max_header_bytes": 1024})
    many = {f"X-{number}": "a" * (size // 10) for number in range(10)}
    async with gateway.get("/healthz", headers=many) as answer:
        assert answer.status == status


async def test_the_body_is_bounded(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(limits={"max_body_bytes": 1024})
    body = io.BytesIO(b" " * 2000)
    async with gateway.post("/dispatch", data=body, headers=HEADERS) as answer:
        assert answer.status == 413


async def test_dials_that_ring_leave_connections_for_new_calls(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(livekit={"connections": 1})
    rings = asyncio.Event()
    fake_livekit.callees["61402012298"] = Callee(rings=rings)
    for _ in range(3):
        assert (await dispatch(gateway, wait="none"))[0] == 200
    await until_asked(fake_livekit, CreateSIPParticipantRequest, 3)
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
    rings.set()


async def test_waiting_for_a_connection_counts_as_waiting_for_livekit(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(livekit={"connections": 1, "timeout": 0.3})
    fake_livekit.failures.extend([Hang()] * 3)
    verbs = await asyncio.gather(*(jambonz_for(gateway).call_arrives() for _ in range(3)))
    assert {verb["verb"] for (verb, *_) in verbs} == {"sip:decline"}
