"""Encrypted trunks: a caller that demands TLS and SRTP at a real livekit-sip, played by baresip."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.sip.baresip import Baresip
from tests.sip.conftest import ended_call
from tests.sip.joined_legs import greeting, lost_beginning
from tests.sip.server_settings import SIPS_PORT
from tests.sip.servers import Telephony
from tests.sip.test_inbound import jambonz_for
from tests.sip.test_setup import run_doctor, run_gateway

SDES = {
    "GATEWAY__LIVEKIT__SIP_TRANSPORT": "tls",
    "GATEWAY__LIVEKIT__SIP_MEDIA_ENCRYPTION": "sdes",
    "GATEWAY__TRUNKS__OUTBOUND_TRANSPORT": "auto",
}
#: How long the caller listens, in s: the greeting takes 3.3 s.
LISTENS = 8.0


@pytest.fixture
async def encrypted_trunks(telephony: Telephony) -> AsyncIterator[None]:
    """The trunks as `setup` has them with SDES, during the test."""
    if not shutil.which("baresip"):
        pytest.skip("encrypted calls need baresip on PATH")
    status, output = await run_gateway(telephony, "setup", "--apply", **SDES)
    assert status == 0, output
    status, output = await run_gateway(telephony, "setup", **SDES)
    assert (status, "Nothing to do" in output) == (0, True), output
    yield
    status, output = await run_gateway(telephony, "setup", "--apply")
    assert status == 0, output


async def call(
    telephony: Telephony, gateway: aiohttp.ClientSession, folder: Path, *, encrypted: bool
) -> tuple[str, Baresip]:
    """The id of a call that is played to its end, and its telephone."""
    (dial,) = await jambonz_for(telephony, gateway).call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    uri = f"sip:{call_id}@{telephony.sip_host}:{SIPS_PORT};transport=tls"
    address = telephony.carrier_address
    async with Baresip.calling(uri, address, folder, encrypted=encrypted) as phone:
        if encrypted:
            await phone.shows("SRTP is Enabled")
            await phone.shows("Call established")
            await asyncio.sleep(LISTENS)
        else:
            await phone.shows(r"session closed: 4\d\d")
    return call_id, phone


async def test_a_caller_that_demands_srtp_talks_to_the_agent(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    encrypted_trunks: None,
    tmp_path: Path,
) -> None:
    call_id, phone = await call(telephony, room_gateway, tmp_path, encrypted=True)
    assert lost_beginning(phone.heard, greeting()) == 0
    timeline = (await ended_call(room_gateway, call_id))["timeline"]
    assert {"caller_joined", "agent_ready", "caller_left"} <= {entry["event"] for entry in timeline}


async def test_a_caller_without_encryption_is_refused(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    encrypted_trunks: None,
    tmp_path: Path,
) -> None:
    await call(telephony, room_gateway, tmp_path, encrypted=False)


async def test_doctor_names_what_is_secured_by_half(
    telephony: Telephony, encrypted_trunks: None
) -> None:
    _, checks = await run_doctor(telephony, **SDES)
    assert checks["encryption"]["status"] == "ok", checks["encryption"]
    _, checks = await run_doctor(telephony)
    assert checks["encryption"]["status"] == "fail"
    assert "requires encrypted audio" in checks["encryption"]["message"]
