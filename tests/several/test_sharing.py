"""Two gateways behind nginx act as one: each request may reach either of them."""

import asyncio

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import ListParticipantsRequest
from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.fakes.livekit import AGENT_AUDIO
from tests.fakes.webhooks import authorization, webhook
from tests.several.calls import hang_up, start_call, whole_call
from tests.several.group import DISPATCH, READ, Group

LEAST = {"destination": "61491570156", "account_code": "em-tech-01"}
EVENTS = ["call_started", "call_ended", "call_analyzed"]


async def test_both_gateways_take_part_in_a_call(group: Group) -> None:
    jambonz = group.jambonz()
    call_id, action_hook = await start_call(group, jambonz)
    call = await group.get_call(call_id)
    assert call["call_status"] == "ongoing"
    assert [call["call_id"] for call in await group.list_calls("status=ongoing")] == [call_id]
    await hang_up(group, jambonz, call_id, action_hook)
    call = await group.wait_for_end(call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")
    assert call["report"] == {"words": 3}
    await group.wait_for_last_callbacks([call_id])
    assert [event for event, _ in group.callbacks_of(call_id)] == EVENTS
    # No hook was processed twice, though nginx may repeat one.
    details = [(entry["event"], entry["detail"]) for entry in call["timeline"]]
    assert len(details) == len(set(details))
    for gateway in group.gateways:
        for path in ("/livekit-api/call-status", "/livekit/webhook"):
            await group.wait_for_log(f' {path} 204 .* "{gateway.address}"')


async def test_callbacks_of_many_calls_arrive_once_and_in_order(group: Group) -> None:
    call_ids = await asyncio.gather(*(whole_call(group) for _ in range(30)))
    await group.wait_for_last_callbacks(list(call_ids))
    for call_id in call_ids:
        assert [event for event, _ in group.callbacks_of(call_id)] == EVENTS
    assert len(group.receiver.raw) == len(EVENTS) * len(call_ids)


async def test_a_call_sid_at_both_gateways_at_once_is_one_call(group: Group) -> None:
    call_sids = [f"sid-{number}" for number in range(20)]
    answers = await asyncio.gather(
        *(
            group.jambonz_at(gateway, call_sid).call_arrives()
            for call_sid in call_sids
            for gateway in group.gateways
        )
    )
    call_ids = [dial["headers"]["X-Call-Id"] for (dial,) in answers]
    assert call_ids[::2] == call_ids[1::2]
    assert len(set(call_ids)) == len(call_sids)
    assert set(group.livekit.rooms) == set(call_ids)
    assert len(await group.list_calls("")) == len(call_sids)


async def test_an_idempotency_key_at_both_gateways_at_once_is_one_call(group: Group) -> None:
    responses = await asyncio.gather(
        *(group.dispatch({**LEAST, "wait": "answer"}, "key-1") for _ in range(8))
    )
    assert [status for status, _ in responses] == [200] * 8
    assert len({content["call_id"] for _, content in responses}) == 1
    assert len(group.livekit.dispatches) == 1
    assert len(group.livekit.requested(CreateSIPParticipantRequest)) == 1
    for gateway in group.gateways:
        await group.wait_for_log(f' /dispatch 200 .* "{gateway.address}"')
    status, content = await group.dispatch({**LEAST, "wait": "none"}, "key-1")
    assert (status, content["error"]) == (409, "idempotency_key_reused")


async def test_either_gateway_can_hang_up_a_call(group: Group) -> None:
    first, second = group.gateways
    _, content = await group.dispatch({**LEAST, "wait": "answer"}, at=f"http://{first.address}")
    call_id = content["call_id"]
    assert call_id in group.livekit.rooms
    url = f"http://{second.address}/livekit-api/calls/{call_id}/hangup"
    async with group.http.post(url, headers=DISPATCH) as response:
        assert response.status == 200
        assert (await response.json())["disconnection_reason"] == "manual_stopped"
    assert call_id not in group.livekit.rooms
    await group.wait_for_last_callbacks([call_id])
    assert [event for event, _ in group.callbacks_of(call_id)] == EVENTS


async def test_no_hook_fails_while_one_gateway_is_down(group: Group) -> None:
    group.gateways[0].kill()
    call_ids = await asyncio.gather(*(whole_call(group) for _ in range(10)))
    assert {call["call_id"] for call in await group.list_calls()} == set(call_ids)


async def test_the_event_stream_has_the_events_of_both_gateways(group: Group) -> None:
    async with asyncio.timeout(20):
        async with group.http.get(f"{group.url}/livekit-api/events", headers=READ) as stream:
            assert stream.content_type == "text/event-stream"
            for number, gateway in enumerate(group.gateways):
                (dial,) = await group.jambonz_at(gateway, f"sid-{number}").call_arrives()
                call_id = dial["headers"]["X-Call-Id"].encode()
                while call_id not in await stream.content.readline():
                    pass


@pytest.mark.field("B1", "B21")
async def test_a_gateway_learns_of_its_agent_from_a_webhook_that_the_other_one_gets(
    group: Group,
) -> None:
    """The fake LiveKit's agents are silent: only the webhook says that this one can be heard."""
    first, second = group.gateways
    group.livekit.agents_are_silent = True
    dispatching = asyncio.create_task(group.dispatch(LEAST, at=f"http://{first.address}"))
    async with asyncio.timeout(20):
        while not group.livekit.rooms:
            await asyncio.sleep(0.01)
    (room,) = group.livekit.rooms
    agent = ParticipantInfo(identity="agent-AJ_1")
    body = webhook("EV_1", "track_published", room, agent, AGENT_AUDIO)
    headers = {"Authorization": authorization(body), "Content-Type": "application/webhook+json"}
    url = f"http://{second.address}/livekit/webhook"
    async with group.http.post(url, data=body, headers=headers) as response:
        assert response.status == 204
    status, answer = await dispatching
    assert (status, answer["job_id"]) == (200, "AJ_1")
    assert len(group.livekit.requested(CreateSIPParticipantRequest)) == 1
    assert len(group.livekit.requested(ListParticipantsRequest)) <= 2
