"""An old set-up of LiveKit that leads calls astray, moved by `setup`, seen by `doctor`, dialed."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import Kind, SipItem, Trunks
from gateway.tools.dev.processes import python
from tests.sip.conftest import shown
from tests.sip.parts import NOWHERE, Telephony
from tests.sip.telephone import Telephone
from tests.sip.test_inbound import switch

#: As they were made for the old way: any call to a room named after its caller.
OLD_TRUNK = SipItem(
    Kind.INBOUND_TRUNK, "", {"name": "old Jambonz", "allowed_addresses": ["0.0.0.0/0"]}
)
OLD_RULE = {"dispatch_rule_individual": {"room_prefix": "call"}}
#: Beside it one that has nothing to do with us.
PBX_TRUNK = SipItem(Kind.INBOUND_TRUNK, "", {"name": "our PBX", "numbers": ["+15550142"]})


@pytest.fixture
async def old(telephony: Telephony, livekit: LiveKit) -> AsyncIterator[dict[str, SipItem]]:
    """The old set-up, by its names, instead of the gateway's; that is there again afterwards."""
    trunks = Trunks(livekit)
    await clear(trunks)
    try:
        items = [item for trunk in (OLD_TRUNK, PBX_TRUNK) for item in await made(trunks, trunk)]
        yield {item.name: item for item in items}
    finally:
        await clear(trunks)
        status, said = await gateway(telephony, "setup", "--apply")
        assert status == 0, said


async def made(trunks: Trunks, trunk: SipItem) -> tuple[SipItem, SipItem]:
    """The trunk, and an individual rule for it."""
    trunk = await trunks.create(trunk)
    fields = {"name": f"for {trunk.name}", "rule": OLD_RULE, "trunk_ids": [trunk.id]}
    return trunk, await trunks.create(SipItem(Kind.DISPATCH_RULE, "", fields))


async def clear(trunks: Trunks) -> None:
    """Leave LiveKit with nothing that would take a call in."""
    for item in reversed(await trunks.listed()):
        if item.kind is not Kind.OUTBOUND_TRUNK:
            await trunks.delete(item)


async def gateway(telephony: Telephony, *words: str) -> tuple[int, str]:
    """Exit code of `python -m gateway …`, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *python("-m", "gateway", *words),
        cwd=NOWHERE,
        env=telephony.env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def examined(telephony: Telephony) -> tuple[int, dict[str, Any]]:
    """Exit code of the doctor, and its checks by id."""
    status, said = await gateway(telephony, "doctor", "--json")
    return status, {check["id"]: check for check in json.loads(said)["checks"]}


async def test_an_old_set_up_is_moved_and_brought_back(
    telephony: Telephony,
    n8n: aiohttp.ClientSession,
    livekit: LiveKit,
    old: dict[str, SipItem],
    tmp_path: Path,
) -> None:
    backup = str(tmp_path / "backup.json")
    before, moved, restored = [tmp_path / name for name in ("before", "moved", "restored")]
    await assert_astray(telephony, n8n, before)
    await assert_named(telephony, old["old Jambonz"], old["for old Jambonz"])
    status, said = await gateway(telephony, "setup", "--apply")
    assert (status, "--prune" in said) == (1, True), said
    assert await names(livekit) == sorted(old), "without --prune nothing is touched"

    status, said = await gateway(telephony, "setup", "--prune", "--apply", "--backup", backup)
    assert status == 0, said
    assert set(old) - set(await names(livekit)) == {"old Jambonz", "for old Jambonz"}
    await assert_connected(telephony, n8n, moved)
    await assert_all_ok(telephony)
    status, said = await gateway(telephony, "setup", "--apply")
    assert (status, "Nothing to do" in said) == (0, True), said

    status, said = await gateway(telephony, "setup", "--restore", backup, "--apply")
    assert status == 0, said
    assert await names(livekit) == sorted(old)
    await assert_astray(telephony, n8n, restored)


async def assert_named(telephony: Telephony, *items: SipItem) -> None:
    """The doctor says that these lead calls astray."""
    status, checks = await examined(telephony)
    assert (status, checks["inbound_route"]["status"]) == (2, "fail")
    assert "setup --prune --apply" in checks["inbound_route"]["next"]
    for item in items:
        assert item.id in checks["inbound_route"]["message"]


async def assert_all_ok(telephony: Telephony) -> None:
    """The doctor finds nothing; only Jambonz's REST API it cannot look at."""
    status, checks = await examined(telephony)
    unlike = {name: check for name, check in checks.items() if check["status"] != "ok"}
    assert (status, set(unlike)) == (0, {"jambonz"}), unlike


async def names(livekit: LiveKit) -> list[str]:
    """Of everything that takes calls in."""
    items = await Trunks(livekit).listed()
    return sorted(item.name for item in items if item.kind is not Kind.OUTBOUND_TRUNK)


async def assert_astray(telephony: Telephony, n8n: aiohttp.ClientSession, folder: Path) -> None:
    """A call's INVITE is refused: it is led into a room that nobody made."""
    jambonz = switch(telephony, n8n)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with telephony.caller("call_in_vain", folder, user=call_id) as caller:
        await caller.played()
    await jambonz.status("no-answer", 487)
    call = await shown(n8n, call_id, lambda c: c["end_timestamp"])
    assert "caller_joined" not in [entry["event"] for entry in call["timeline"]]


async def assert_connected(telephony: Telephony, n8n: aiohttp.ClientSession, folder: Path) -> None:
    """The same kind of call, answered by the agent."""
    (dial,) = await switch(telephony, n8n).call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    async with Telephone.at(telephony.address) as phone:
        words = {"user": call_id, "audio_port": str(phone.port)}
        async with telephony.caller("call", folder, **words) as caller:
            await caller.sees("SIP/2.0 200 ")
            await phone.greeted()
            caller.tell()
            await caller.played()
    call = await shown(n8n, call_id, lambda c: c["end_timestamp"])
    assert "caller_joined" in [entry["event"] for entry in call["timeline"]]
