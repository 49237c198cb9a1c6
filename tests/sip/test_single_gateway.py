"""Unsolicited INVITEs at a LiveKit that creates a room for each, and a gateway that is killed."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import Kind, SipItem, Trunks
from tests.livekit.conftest import gateway_killed
from tests.sip.conftest import (
    LIMIT,
    call_when,
    client_of,
    ended_call,
    wait_until_deleted,
    wait_until_empty,
)
from tests.sip.servers import Telephony
from tests.sip.telephone import Telephone
from tests.sip.test_inbound import jambonz_for

#: Another application's number, which has a trunk of its own, and the room it leads to.
OTHER_NUMBER = "+15550177"
OTHER_ROOM = "another-application"


async def test_an_unsolicited_invite_is_rejected_and_its_room_deleted(
    single_gateway: Telephony, tmp_path: Path
) -> None:
    async with (
        single_gateway.livekit() as livekit,
        client_of(single_gateway.real.url) as gateway,
    ):
        await create_other_application(livekit)
        other_call = single_gateway.caller("call_rejected", tmp_path / "other", user=OTHER_NUMBER)
        async with other_call as other:
            await wait_until_joined(livekit, OTHER_ROOM)
            unsolicited_call = single_gateway.caller(
                "call_rejected", tmp_path / "unsolicited", user="1001"
            )
            async with unsolicited_call as unsolicited:
                await unsolicited.finished()
            await wait_until_deleted(livekit, "1001")
            diagnostics = await get(gateway, "/livekit-api/diagnostics")
            assert diagnostics["stray_rooms"]["count"] == 1
            assert await get(gateway, "/livekit-api/calls?include=ended") == {
                "calls": [],
                "active": 0,
                "next_cursor": None,
                "is_complete": True,
            }
            assert OTHER_ROOM in {room.name for room in await livekit.rooms()}
            await livekit.delete_room(OTHER_ROOM)
            await other.finished()


async def create_other_application(livekit: LiveKit) -> None:
    """Create another application's trunk and rule, besides those of `setup`."""
    trunks = Trunks(livekit)
    fields: dict[str, Any] = {"name": "other", "numbers": [OTHER_NUMBER]}
    trunk = await trunks.create(SipItem(Kind.INBOUND_TRUNK, "", fields))
    rule = {"dispatch_rule_direct": {"room_name": OTHER_ROOM}}
    fields = {"name": "other", "trunk_ids": [trunk.id], "rule": rule}
    await trunks.create(SipItem(Kind.DISPATCH_RULE, "", fields))


async def wait_until_joined(livekit: LiveKit, room: str) -> None:
    """Wait until `room` has a participant."""
    async with asyncio.timeout(LIMIT):
        while not await livekit.participants(room):
            await asyncio.sleep(0.05)


def _is_ongoing(call: Any) -> bool:
    return bool(call["call_status"] == "ongoing")


async def get(gateway: aiohttp.ClientSession, path: str) -> Any:
    async with gateway.get(path) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_a_call_outlives_its_gateway(single_gateway: Telephony, tmp_path: Path) -> None:
    async with (
        single_gateway.livekit() as livekit,
        client_of(single_gateway.real.url) as gateway,
        Telephone.at(single_gateway.carrier_address) as phone,
    ):
        jambonz = jambonz_for(single_gateway, gateway)
        (dial,) = await jambonz.call_arrives()
        call_id = dial["headers"]["X-Call-Id"]
        variables = {"user": call_id, "audio_port": str(phone.port)}
        async with single_gateway.caller("call", tmp_path, **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await jambonz.status("in-progress")
            before = await call_when(gateway, call_id, _is_ongoing)
            with gateway_killed(single_gateway.real) as restart:
                await phone.echoed()
                # The new gateway restores the calls from LiveKit's rooms before it listens.
                await asyncio.to_thread(restart)
                restored = await get(gateway, f"/livekit-api/calls/{call_id}")
                for field in ("call_status", "from_number", "to_number", "jambonz"):
                    assert restored[field] == before[field]
                caller.send_info()
                await caller.finished()
                # Jambonz sends no more hooks, so LiveKit's webhook ends the call.
                call = await ended_call(gateway, call_id)
                assert call["disconnection_reason"] == "user_hangup"
                assert call["call_status"] == "ended"
                await wait_until_empty(livekit, call_id)
