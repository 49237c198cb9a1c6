"""A project on LiveKit Cloud: what is not safe to repeat is sent once, whatever goes wrong.

livekit-api repeats any request to a host of LiveKit Cloud; the fake LiveKit has such a name here.
"""

from collections.abc import AsyncIterator

import pytest
from livekit.api import _failover
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.sip import CreateSIPParticipantRequest, TransferSIPParticipantRequest

from gateway.calls.call import Call, Direction
from gateway.calls.participants import Leg
from gateway.errors import LiveKitError
from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import RoomRequest
from gateway.livekit.sip import SipParticipantRequest, SipParticipants
from tests.fakes.livekit import KEY, SECRET, Drop, Failure, FakeLiveKit, Hang, TwirpError
from tests.fakes.name_server import NameServer

CLOUD_HOST = "example-project.livekit.cloud"
FAILURES = [TwirpError(500, "internal", "no"), TwirpError(503, "unavailable", "no"), Drop(), Hang()]
ROOM = RoomRequest(
    "outbound-1", "{}", 60, agent_name="anna", job_metadata='{"direction":"outbound"}'
)
CALL = Call("outbound-1", Direction.OUTBOUND, "anna", 0, caller=Leg("sip_1"))


@pytest.fixture
async def cloud(
    fake_livekit: FakeLiveKit, name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[LiveKit]:
    name_server.addresses[CLOUD_HOST] = ["127.0.0.1"]
    # livekit-api does not repeat requests with a shorter timeout: these tests need not be long.
    monkeypatch.setattr(_failover, "MIN_FAILOVER_TIMEOUT", 0)
    # Later than livekit-api's own timeout of a dial, which is 2 s.
    monkeypatch.setattr("gateway.livekit.sip.DIAL_MARGIN", 3)
    url = fake_livekit.url.replace("127.0.0.1", CLOUD_HOST)
    fake_livekit.workers = {"anna"}
    async with LiveKit.connected(url, KEY, SECRET, timeout=1.0) as livekit:
        await livekit.ping()
        yield livekit


@pytest.mark.field("B4")
@pytest.mark.parametrize("failure", FAILURES, ids=["500", "503", "dropped", "silent"])
async def test_a_telephone_is_rung_once(
    cloud: LiveKit, fake_livekit: FakeLiveKit, failure: Failure
) -> None:
    fake_livekit.failures.append(failure)
    request = SipParticipantRequest("outbound-1", "61491570156", "sip_1", ringing_timeout=1)
    with pytest.raises(LiveKitError):
        await SipParticipants(cloud).dial(request)
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 1


@pytest.mark.field("B4")
@pytest.mark.parametrize("failure", FAILURES, ids=["500", "503", "dropped", "silent"])
async def test_a_caller_is_transferred_once(
    cloud: LiveKit, fake_livekit: FakeLiveKit, failure: Failure
) -> None:
    fake_livekit.add_participant("outbound-1", ParticipantInfo.Kind.SIP, "sip_1")
    fake_livekit.failures.extend([None, failure])
    with pytest.raises(LiveKitError):
        await SipParticipants(cloud).transfer(CALL, "tel:+61491570110", ringing_timeout=1)
    assert len(fake_livekit.requested(TransferSIPParticipantRequest)) == 1


@pytest.mark.field("B4")
@pytest.mark.parametrize("failure", FAILURES[:3], ids=["500", "503", "dropped"])
async def test_a_room_is_requested_until_it_is_there_and_has_one_agent(
    cloud: LiveKit, fake_livekit: FakeLiveKit, failure: Failure
) -> None:
    fake_livekit.failures.append(failure)
    fake_livekit.lost_answers.append("CreateRoom")
    assert await cloud.create_room(ROOM) == "RM_outbound-1"
    assert len(fake_livekit.requested(CreateRoomRequest)) == 3
    dispatch = await cloud.find_dispatch("outbound-1", "anna")
    assert dispatch
    assert fake_livekit.dispatches == [dispatch]
