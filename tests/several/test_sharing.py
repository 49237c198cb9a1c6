"""Any request can reach any of two gateways behind nginx: together they are one."""

import asyncio

from livekit.protocol.agent_dispatch import CreateAgentDispatchRequest
from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.several.group import DISPATCH, READ, Group
from tests.several.talk import answered, hung_up, whole

LEAST = {"destination": "61491570156", "account_code": "em-tech-01"}
TOLD = ["call_started", "call_ended", "call_analyzed"]


async def test_a_call_over_both(group: Group) -> None:
    jambonz = group.jambonz()
    call_id, action_hook = await answered(group, jambonz)
    call = await group.call(call_id)
    assert call["call_status"] == "ongoing"
    assert [one["call_id"] for one in await group.calls("status=ongoing")] == [call_id]
    await hung_up(group, jambonz, call_id, action_hook)
    call = await group.ended(call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    assert call["report"] == {"words": 3}
    await group.told_to_the_end([call_id])
    assert [event for event, _ in group.heard_of(call_id)] == TOLD
    # Each of it happened once: no hook came twice, though nginx may repeat them.
    details = [(entry["event"], entry["detail"]) for entry in call["timeline"]]
    assert len(details) == len(set(details))
    for gateway in group.gateways:
        for door in ("/livekit-api/call-status", "/livekit/webhook"):
            await group.logged(f' {door} 204 .* "{gateway.address}"')


async def test_callbacks_of_many_calls_arrive_once_and_in_order(group: Group) -> None:
    call_ids = await asyncio.gather(*(whole(group) for _ in range(30)))
    await group.told_to_the_end(list(call_ids))
    for call_id in call_ids:
        assert [event for event, _ in group.heard_of(call_id)] == TOLD
    assert len(group.receiver.raw) == len(TOLD) * len(call_ids)


async def test_one_call_sid_at_both_at_once(group: Group) -> None:
    one, other = group.gateways
    call_sids = [f"sid-{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(
            group.jambonz_at(gateway, call_sid).call_arrives()
            for call_sid in call_sids
            for gateway in (one, other)
        )
    )
    call_ids = [dial["headers"]["X-Call-Id"] for (dial,) in answers]
    assert call_ids[::2] == call_ids[1::2]
    assert len(set(call_ids)) == len(call_sids)
    assert set(group.livekit.rooms) == set(call_ids)
    assert len(await group.calls("")) == len(call_sids)


async def test_one_idempotency_key_at_both_at_once(group: Group) -> None:
    answers = await asyncio.gather(
        *(group.dispatch({**LEAST, "wait": "answer"}, "key-1") for _ in range(8))
    )
    assert [status for status, _ in answers] == [200] * 8
    assert len({answer["call_id"] for _, answer in answers}) == 1
    assert len(group.livekit.requested(CreateAgentDispatchRequest)) == 1
    assert len(group.livekit.requested(CreateSIPParticipantRequest)) == 1
    for gateway in group.gateways:
        await group.logged(f' /dispatch 200 .* "{gateway.address}"')
    status, answer = await group.dispatch({**LEAST, "wait": "none"}, "key-1")
    assert (status, answer["error"]) == (409, "idempotency_key_reused")


async def test_hanging_up_where_the_call_was_not_made(group: Group) -> None:
    one, other = group.gateways
    made_at = f"http://{one.address}"
    _, answer = await group.dispatch({**LEAST, "wait": "answer"}, at=made_at)
    call_id = answer["call_id"]
    assert call_id in group.livekit.rooms
    url = f"http://{other.address}/livekit-api/calls/{call_id}/hangup"
    async with group.http.post(url, headers=DISPATCH) as response:
        assert response.status == 200
        assert (await response.json())["disconnection_reason"] == "manual_stopped"
    assert call_id not in group.livekit.rooms
    await group.told_to_the_end([call_id])
    assert [event for event, _ in group.heard_of(call_id)] == TOLD


async def test_a_gateway_that_is_not_there_costs_no_hook(group: Group) -> None:
    group.gateways[0].kill()
    call_ids = await asyncio.gather(*(whole(group) for _ in range(10)))
    assert {call["call_id"] for call in await group.calls()} == set(call_ids)


async def test_events_come_at_once_from_whichever_gateway(group: Group) -> None:
    async with asyncio.timeout(20):
        async with group.http.get(f"{group.url}/livekit-api/events", headers=READ) as stream:
            assert stream.content_type == "text/event-stream"
            for number, gateway in enumerate(group.gateways):
                (dial,) = await group.jambonz_at(gateway, f"sid-{number}").call_arrives()
                call_id = dial["headers"]["X-Call-Id"].encode()
                while call_id not in await stream.content.readline():
                    pass
