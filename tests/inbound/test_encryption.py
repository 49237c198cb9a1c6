"""Secure trunking: Jambonz is told to encrypt the audio that it sends to LiveKit, and no other."""

from typing import Any

import pytest

from tests.conftest import Client, GatewayStarter, jambonz_for
from tests.jambonz.schemas import assert_valid_verbs

SDES = {"sip_transport": "tls", "sip_media_encryption": "sdes"}


async def dials(gateway: Client) -> list[dict[str, Any]]:
    """Dials to the room, to the fallback, and of the legacy route."""
    jambonz = jambonz_for(gateway)
    (room,) = await jambonz.call_arrives()
    (fallback,) = await jambonz.dial_ends(room["actionHook"], "trying", "busy", 486)
    legacy = {"call_sid": "1", "to": "+61491570156"}
    (static,) = await jambonz_for(gateway)._post("/livekit-simple", legacy)
    return [room, fallback, static]


@pytest.mark.parametrize(
    ("livekit", "encrypted"), [(SDES, ["sdes", None, "sdes"]), ({}, [None, None, None])]
)
async def test_dials_to_livekit_are_encrypted_as_configured(
    start_gateway: GatewayStarter, livekit: dict[str, str], encrypted: list[str | None]
) -> None:
    fallback = [{"sip": "sip:desk@pbx.example.com"}]
    gateway = await start_gateway(livekit=livekit, inbound={"fallback": fallback})
    verbs = await dials(gateway)
    assert_valid_verbs(verbs)
    assert [verb.get("srtpEncryption") for verb in verbs] == encrypted
    if livekit:
        (target,) = verbs[0]["target"]
        assert target["sipUri"].endswith("@sip.example.com;transport=tls")
