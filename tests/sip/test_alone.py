"""A gateway whose LiveKit makes a room for each INVITE, and a gateway that is killed: real SIP."""

import asyncio
from pathlib import Path
from typing import Any

import aiohttp

from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import Kind, SipItem, Trunks
from tests.livekit.conftest import killed
from tests.sip.conftest import DEADLINE, client_of, emptied, shown
from tests.sip.parts import Telephony
from tests.sip.telephone import Telephone
from tests.sip.test_inbound import switch

#: A number of another application's, its trunk's own, and the room that it leads to.
THEIR_NUMBER = "+15550177"
THEIR_ROOM = "theirs"


async def test_a_strangers_room_is_deleted_and_their_invite_refused(
    alone: Telephony, tmp_path: Path
) -> None:
    async with alone.livekit() as livekit, client_of(alone.real.url) as ops:
        await lead_elsewhere(livekit)
        words = {"user": THEIR_NUMBER}
        async with alone.caller("call_in_vain", tmp_path / "theirs", **words) as theirs:
            await came(livekit, THEIR_ROOM)
            words = {"user": "1001"}
            async with alone.caller("call_in_vain", tmp_path / "stranger", **words) as stranger:
                await stranger.played()
            await gone(livekit, "1001")
            assert (await asked(ops, "/livekit-api/diagnostics"))["stray_rooms"]["count"] == 1
            assert await asked(ops, "/livekit-api/calls?include=ended") == {
                "calls": [],
                "active": 0,
                "next_cursor": None,
            }
            assert THEIR_ROOM in {room.name for room in await livekit.rooms()}
            await livekit.delete_room(THEIR_ROOM)
            await theirs.played()


async def lead_elsewhere(livekit: LiveKit) -> None:
    """Another application's trunk and rule, beside those of `setup`."""
    trunks = Trunks(livekit)
    fields: dict[str, Any] = {"name": "theirs", "numbers": [THEIR_NUMBER]}
    trunk = await trunks.create(SipItem(Kind.INBOUND_TRUNK, "", fields))
    rule = {"dispatch_rule_direct": {"room_name": THEIR_ROOM}}
    fields = {"name": "theirs", "trunk_ids": [trunk.id], "rule": rule}
    await trunks.create(SipItem(Kind.DISPATCH_RULE, "", fields))


async def came(livekit: LiveKit, room: str) -> None:
    """Wait until somebody is in `room`."""
    async with asyncio.timeout(DEADLINE):
        while not await livekit.participants(room):
            await asyncio.sleep(0.05)


async def gone(livekit: LiveKit, room: str) -> None:
    """Wait until LiveKit does not list `room` any more: the INVITE is refused a little earlier."""
    async with asyncio.timeout(DEADLINE):
        while await livekit.rooms(room):
            await asyncio.sleep(0.05)


async def asked(ops: aiohttp.ClientSession, path: str) -> Any:
    async with ops.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_call_goes_on_while_its_gateway_is_killed(alone: Telephony, tmp_path: Path) -> None:
    async with alone.livekit() as livekit, client_of(alone.real.url) as ops:
        jambonz = switch(alone, ops)
        (dial,) = await jambonz.call_arrives()
        call_id = dial["headers"]["X-Call-Id"]
        async with Telephone.at(alone.address) as phone:
            words = {"user": call_id, "audio_port": str(phone.port)}
            async with alone.caller("call", tmp_path, **words) as caller:
                await caller.sees("SIP/2.0 200 ")
                await jambonz.status("in-progress")
                before = await shown(ops, call_id, lambda c: c["call_status"] == "ongoing")
                with killed(alone.real) as start:
                    await phone.echoed()
                    # It asks LiveKit what there is before it listens.
                    await asyncio.to_thread(start)
                    again = await asked(ops, f"/livekit-api/calls/{call_id}")
                    for known in ("call_status", "from_number", "to_number", "jambonz"):
                        assert again[known] == before[known]
                    caller.tell()
                    await caller.played()
                    # No hook of Jambonz's comes: LiveKit's word must do.
                    call = await shown(ops, call_id, lambda c: c["end_timestamp"])
                    assert call["disconnection_reason"] == "user_hangup"
                    assert call["call_status"] == "ended"
                    await emptied(livekit, call_id)
