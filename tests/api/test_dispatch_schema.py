"""Who may dispatch, how often, once only; and hanging up."""

import asyncio
from typing import Any

import pytest
from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.api.test_dispatch import GUIDE, HEADERS, dispatch
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, jambonz_for
from tests.fakes.livekit import Callee, FakeLiveKit


@pytest.mark.parametrize("by_header", [True, False])
async def test_one_key_makes_one_call(
    gateway: Client, fake_livekit: FakeLiveKit, by_header: bool
) -> None:
    async def ask() -> tuple[int, dict[str, Any]]:
        if by_header:
            return await dispatch(gateway, headers={"Idempotency-Key": "1-0"})
        return await dispatch(gateway, idempotency_key="1-0")

    answers = await asyncio.gather(*(ask() for _ in range(5)))
    answers.append(await ask())
    assert {answer["call_id"] for _, answer in answers} == {answers[0][1]["call_id"]}
    assert {status for status, _ in answers} == {200}
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1


async def test_a_key_with_another_body(gateway: Client) -> None:
    headers = {"Idempotency-Key": "1-0"}
    await dispatch(gateway, headers=headers)
    status, error = await dispatch(gateway, headers=headers, account_code="other")
    assert (status, error["error"]) == (409, "idempotency_key_reused")


async def test_a_refusal_is_the_keys_answer_too(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    fake_livekit.callees["61402012298"] = Callee(sip=(403, "Forbidden auth ID"))
    headers = {"Idempotency-Key": "1-0"}
    first = await dispatch(gateway, headers=headers)
    assert await dispatch(gateway, headers=headers) == first
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1


async def test_after_a_passing_fault_the_key_may_be_tried_again(
    gateway: Client, fake_livekit: FakeLiveKit, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(outbound={"agent_timeout": 0.1})
    fake_livekit.workers.clear()
    headers = {"Idempotency-Key": "1-0"}
    assert (await dispatch(gateway, headers=headers))[0] == 503
    fake_livekit.workers.add("nehos-outbound-agent")
    assert (await dispatch(gateway, headers=headers))[0] == 200


async def test_at_the_cap(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(outbound={"max_active_calls": 1})
    assert (await dispatch(gateway))[0] == 200
    async with gateway.post("/dispatch", json=GUIDE, headers=HEADERS) as answer:
        assert answer.status == 429
        assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"X-API-Key": "guess"}, 401), ({"Authorization": f"Bearer {READ_KEY}"}, 403)],
)
async def test_who_may_dispatch(gateway: Client, headers: dict[str, str], status: int) -> None:
    async with gateway.post("/dispatch", json=GUIDE, headers=headers) as answer:
        assert answer.status == status


async def test_a_bearer_token_will_do(gateway: Client) -> None:
    headers = {"Authorization": f"Bearer {DISPATCH_KEY}"}
    async with gateway.post("/dispatch", json=GUIDE, headers=headers) as answer:
        assert answer.status == 200


async def test_hanging_up(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    _, answer = await dispatch(gateway)
    url = f"/livekit-api/calls/{answer['call_id']}/hangup"
    async with gateway.post(url, headers=HEADERS) as hung_up:
        call = await hung_up.json()
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "manual_stopped")
    assert call["timeline"][-1] == {
        "at": call["timeline"][-1]["at"],
        "event": "stopped",
        "detail": "requested by n8n",
    }
    assert not fake_livekit.rooms
    async with gateway.post(url, headers=HEADERS) as again:
        assert (await again.json())["end_timestamp"] == call["end_timestamp"]
    async with gateway.post(url, headers={"X-API-Key": READ_KEY}) as refused:
        assert refused.status == 403


async def test_hanging_up_an_inbound_call(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    url = f"/livekit-api/calls/{dial['headers']['X-Call-Id']}/hangup"
    async with gateway.post(url, headers=HEADERS) as answer:
        call = await answer.json()
    assert (call["call_status"], call["disconnection_reason"]) == (
        "not_connected",
        "manual_stopped",
    )
    assert not fake_livekit.rooms
    async with gateway.post("/livekit-api/calls/call-x/hangup", headers=HEADERS) as unknown:
        assert unknown.status == 404
