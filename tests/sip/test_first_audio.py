"""How long a callee who has answered hears nothing, on real SIP."""

import asyncio
import statistics

import aiohttp
import pytest

from tests.sip.conftest import ended_call, hang_up
from tests.sip.servers import Telephony
from tests.sip.switchboard import Switchboard
from tests.sip.test_outbound import dispatch

CALLS = 10
AT_ONCE = 8


@pytest.mark.field("B1")
async def test_a_callee_hears_the_agent_soon_after_answering(
    telephony: Telephony, room_gateway: aiohttp.ClientSession
) -> None:
    silences: list[float] = []
    async with Switchboard.at(telephony.carrier_address, telephony.carrier_port) as callees:
        for number in range(CALLS):
            status, response = await dispatch(room_gateway, wait="answer")
            assert status == 200, response
            line = list(callees.lines.values())[number]
            silences.append(await line.silence())
            await hang_up(room_gateway, response["call_id"])
            await ended_call(room_gateway, response["call_id"])
            # The worker starts the process of the next job.
            await asyncio.sleep(1)
    assert statistics.median(silences) <= 0.5, silences


@pytest.mark.field("B1")
async def test_of_many_callees_at_once_each_hears_an_agent_or_is_not_rung(
    telephony: Telephony, room_gateway: aiohttp.ClientSession
) -> None:
    """The worker has fewer processes than calls: those without an agent in time are refused."""
    async with Switchboard.at(telephony.carrier_address, telephony.carrier_port) as callees:
        responses = await asyncio.gather(
            *(dispatch(room_gateway, wait="answer") for _ in range(AT_ONCE))
        )
        refused = [content for status, content in responses if status != 200]
        assert {content["error"] for content in refused} <= {"no_agent"}
        assert len(callees.lines) == AT_ONCE - len(refused) > 0
        silences = [await line.silence() for line in callees.lines.values()]
        assert max(silences) <= 2, silences
        for status, content in responses:
            if status == 200:
                await hang_up(room_gateway, content["call_id"])


@pytest.mark.field("B1")
async def test_without_an_agent_nobody_is_rung(
    telephony: Telephony, room_gateway: aiohttp.ClientSession
) -> None:
    async with Switchboard.at(telephony.carrier_address, telephony.carrier_port) as callees:
        status, error = await dispatch(room_gateway, agent_name="nobody")
        assert (status, error["error"]) == (503, "no_agent")
        assert not callees.lines


@pytest.mark.field("B3")
async def test_a_call_that_is_hung_up_while_its_agent_starts_rings_nobody(
    telephony: Telephony, room_gateway: aiohttp.ClientSession
) -> None:
    async with Switchboard.at(telephony.carrier_address, telephony.carrier_port) as callees:
        dispatching = asyncio.create_task(dispatch(room_gateway))
        await hang_up(room_gateway, await active_call(room_gateway))
        status, response = await dispatching
        assert (status, response["call_status"]) == (200, "not_connected")
        await ended_call(room_gateway, response["call_id"])
        assert not callees.lines


async def active_call(gateway: aiohttp.ClientSession) -> str:
    """The id of the only active call, once there is one."""
    async with asyncio.timeout(10):
        while True:
            async with gateway.get("/livekit-api/calls") as response:
                if calls := (await response.json())["calls"]:
                    (call,) = calls
                    return str(call["call_id"])
