"""What callers hear between their call and an answer: a ringing tone, then the whole greeting."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from livekit.protocol.room import CreateRoomRequest

from tests.conftest import Client, GatewayStarter, jambonz_for
from tests.fakes.livekit import FakeLiveKit
from tests.jambonz.schemas import assert_valid_verbs

AU = "tone_stream://%(400,200,383,417);%(400,2000,383,417);loops=-1"
TARGET = "+61491570156"
SETTINGS: Mapping[str, Any] = {
    "fallback": [{"sip": "sip:desk@pbx.example.com"}, {"phone": "+61491570006"}]
}


async def all_dials(gateway: Client) -> Sequence[Any]:
    """A dial of each kind: to the room, to two fallback targets, to a transfer's target, legacy."""
    jambonz = jambonz_for(gateway)
    (room,) = await jambonz.call_arrives()
    (first,) = await jambonz.dial_ends(room["actionHook"], "trying", "busy", 486)
    (second,) = await jambonz.dial_ends(first["actionHook"], "trying", "busy", 486)
    talking = jambonz_for(gateway)
    (dial,) = await talking.call_arrives()
    await talking.status("in-progress")
    transfer, _ = await talking.refers(dial["referHook"], f"<tel:{TARGET}>")
    (legacy,) = await jambonz_for(gateway)._post("/livekit-simple", {"call_sid": "1", "to": TARGET})
    return room, first, second, transfer, legacy


@pytest.mark.field("J1")
async def test_every_dial_plays_the_ringing_tone(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(inbound=SETTINGS, transfer={"allowed": [TARGET]})
    for dial in await all_dials(gateway):
        assert_valid_verbs([dial])
        assert (dial["verb"], dial["dialMusic"]) == ("dial", AU)


@pytest.mark.field("J1")
async def test_without_a_ringing_tone_early_media_is_passed_on(
    start_gateway: GatewayStarter,
) -> None:
    settings = {**SETTINGS, "ringing_tone": "none"}
    gateway = await start_gateway(inbound=settings, transfer={"allowed": [TARGET]})
    for dial in await all_dials(gateway):
        assert "dialMusic" not in dial


@pytest.mark.field("J3")
@pytest.mark.parametrize(("tone", "audible_after"), [("us", 0.5), ("none", 0.7)])
async def test_the_agent_learns_when_jambonz_has_joined_the_legs(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, tone: str, audible_after: float
) -> None:
    gateway = await start_gateway(inbound={"ringing_tone": tone})
    await jambonz_for(gateway).call_arrives()
    (room,) = fake_livekit.requested(CreateRoomRequest)
    assert json.loads(room.agents[0].metadata)["gateway"]["audible_after"] == audible_after
