"""What a caller hears, with Jambonz's media between them and LiveKit, as seen on a live Jambonz."""

import array
import asyncio
import itertools
from pathlib import Path

import aiohttp
import pytest

from tests.sip.conftest import LIMIT, ended_call
from tests.sip.joined_legs import (
    DEQUEUED_AFTER,
    JOINED_AFTER,
    JoinedLegs,
    greeting,
    lost_beginning,
    ringing,
)
from tests.sip.servers import Telephony
from tests.sip.telephone import LOUD, RATE
from tests.sip.test_inbound import jambonz_for
from tests.sip.test_participant import enqueued
from tests.sip.test_participant import jambonz_for as queued

#: A caller takes a longer silence for a dead line, in s: the pause in the tones of E.180.
LONGEST_PAUSE = 5.0


@pytest.mark.field("J1", "J3")
async def test_a_caller_hears_ringing_and_then_the_whole_greeting(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    jambonz = jambonz_for(telephony, room_gateway)
    (dial,) = await jambonz.call_arrives()
    assert_rings(ringing(dial.get("dialMusic", ""), seconds=20))
    call_id = dial["headers"]["X-Call-Id"]
    async with (
        JoinedLegs.at(telephony.carrier_address) as legs,
        JoinedLegs.at(telephony.carrier_address) as moved,
    ):
        variables = {
            "user": call_id,
            "audio_port": str(legs.port),
            "moved_port": str(moved.port),
        }
        async with telephony.caller("call_moved", tmp_path, **variables) as caller:
            await caller.message("SIP/2.0 200 ")
            await jambonz.status("in-progress")
            await asyncio.sleep(JOINED_AFTER)
            legs.join()
            # Then Jambonz takes FreeSWITCH out of the path.
            moved.join(legs.received)
            caller.send_info()
            await assert_greeted(legs)
            caller.send_info()
            await caller.finished()
    call = await ended_call(room_gateway, call_id)
    assert (call["call_status"], call["disconnection_reason"]) == ("ended", "user_hangup")


@pytest.mark.field("J3")
async def test_a_queued_caller_hears_the_whole_greeting(
    telephony: Telephony, participant_gateway: aiohttp.ClientSession, tmp_path: Path
) -> None:
    async with (
        JoinedLegs.at(telephony.carrier_address) as legs,
        telephony.callee("answer_on_info", tmp_path, audio_port=str(legs.port)) as livekit_leg,
    ):
        await enqueued(queued(telephony, participant_gateway))
        await livekit_leg.message("INVITE ")
        livekit_leg.send_info()
        await livekit_leg.message("ACK ")
        await asyncio.sleep(DEQUEUED_AFTER)
        legs.join()
        await assert_greeted(legs)
        livekit_leg.send_info()
        await livekit_leg.finished()


async def assert_greeted(legs: JoinedLegs) -> None:
    """The greeting is heard from its first syllable."""
    said = greeting()
    async with asyncio.timeout(LIMIT):
        # Codecs take some of the loudness.
        while loud_seconds(legs.received) < 0.8 * loud_seconds(said):
            await asyncio.sleep(0.1)
    assert lost_beginning(legs.received, said) == 0


def assert_rings(heard: "array.array[int]") -> None:
    """There is sound at once, and then never a long silence."""
    loud = [at for at, sample in enumerate(heard) if abs(sample) > LOUD]
    assert loud, "the caller hears silence"
    assert loud[0] < RATE / 10
    assert (
        max(later - earlier for earlier, later in itertools.pairwise(loud)) < LONGEST_PAUSE * RATE
    )


def loud_seconds(samples: "array.array[int]") -> float:
    return sum(abs(sample) > LOUD for sample in samples) / RATE


def test_a_lost_syllable_is_noticed() -> None:
    said = greeting()
    silence = array.array("h", [0] * RATE)
    assert lost_beginning(silence + said + silence, said) == 0
    assert lost_beginning(silence + said[RATE // 4 :] + silence, said) >= 0.1


def test_a_silent_ring_is_noticed() -> None:
    with pytest.raises(AssertionError, match="silence"):
        assert_rings(ringing("", seconds=1))
