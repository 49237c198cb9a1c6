"""A gateway is killed during a dispatch: the repeated request has the other one finish the call."""

import contextlib

import aiohttp
import pytest
from livekit.protocol.sip import CreateSIPParticipantRequest

from tests.fakes.livekit import Drop
from tests.several.group import Gateway, Group

REQUEST = {"destination": "61491570156", "account_code": "em-tech-01", "ringing_timeout": 1}
KEY = "key-1"


def kill_at(group: Group, gateway: Gateway, method: str, moment: str) -> None:
    """Kill `gateway` at the first `method` that it requests, carried out only if "after"."""

    def on_request(requested: str, now: str) -> None:
        if (requested, now) != (method, moment):
            return
        gateway.kill()
        group.livekit.on_request = lambda _method, _moment: None
        if moment == "before":
            group.livekit.failures.append(Drop())

    group.livekit.on_request = on_request


async def dispatch_twice(group: Group, method: str, moment: str) -> tuple[int, str]:
    """At a gateway that is killed at this step, then at the other one: that one's response."""
    killed, other = group.gateways
    kill_at(group, killed, method, moment)
    with contextlib.suppress(aiohttp.ClientError):
        await group.dispatch(REQUEST, KEY, at=f"http://{killed.address}")
        pytest.fail("the gateway was not killed")
    status, answer = await group.dispatch(REQUEST, KEY, at=f"http://{other.address}")
    return status, answer["call_id"]


@pytest.mark.field("B5")
@pytest.mark.parametrize(
    ("method", "moment"),
    [
        ("CreateRoom", "before"),
        ("CreateRoom", "after"),
        ("ListDispatch", "before"),
        ("ListParticipants", "before"),
        ("CreateSIPParticipant", "after"),
    ],
)
async def test_a_call_is_carried_to_its_only_dial(group: Group, method: str, moment: str) -> None:
    status, call_id = await dispatch_twice(group, method, moment)
    assert status == 200
    call = await group.get_call(call_id)
    assert call["call_status"] == "ongoing"
    assert [listed["call_id"] for listed in await group.list_calls()] == [call_id]
    assert len(group.livekit.dispatches) == 1
    assert len(group.livekit.requested(CreateSIPParticipantRequest)) == 1


@pytest.mark.field("B5")
async def test_a_dial_that_may_have_been_made_is_not_made_again(group: Group) -> None:
    """Whether LiveKit got it is not known: it is followed until nobody can be ringing any more."""
    status, call_id = await dispatch_twice(group, "CreateSIPParticipant", "before")
    assert status == 200
    call = await group.wait_for_end(call_id)
    assert call["call_status"] == "not_connected"
    assert len(group.livekit.requested(CreateSIPParticipantRequest)) == 1
    await group.wait_for_last_callbacks([call_id])
