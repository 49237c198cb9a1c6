"""Announced transfers: the target hears a summary, and takes the call, or the caller comes back."""

import json
from typing import Any

import pytest
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.sip import TransferSIPParticipantRequest

from gateway.lifecycle.deadlines import ANNOUNCEMENT_MS
from tests.api.test_livekit import send, tell, webhook
from tests.conftest import Client, GatewayStarter
from tests.fakes.livekit import FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.jambonz.schemas import assert_valid_verbs
from tests.transfers.test_requested_by_agents import agent_asks
from tests.transfers.test_transfers import (
    SETTINGS,
    TARGET,
    AnsweredCall,
    answered,
)

AGENT, SIP = ParticipantInfo.Kind.AGENT, ParticipantInfo.Kind.SIP
CALLER = "who"  # as in the webhooks
SUMMARY = "Anna Example wants to move her appointment."
FALLBACK = {"inbound": {"fallback": [{"phone": "+15550123"}]}}
HANGS_UP = [{"verb": "hangup"}]


class Announcement(AnsweredCall):
    """An inbound call whose agent has asked for an announced transfer."""

    verbs: list[dict[str, Any]]

    @property
    def transfer_dial(self) -> dict[str, Any]:
        return self.verbs[0]

    async def heard(self) -> dict[str, Any]:
        """The target answers; returns what they hear while a key is waited for."""
        self.jambonz.far_sid = "target-leg"
        await self.jambonz.far_status("ringing", 180)
        await self.jambonz.far_status("in-progress")
        verbs = await self.jambonz.confirms(self.transfer_dial["confirmHook"])
        assert_valid_verbs(verbs)
        gather, hangup = verbs
        assert (gather["verb"], hangup["verb"]) == ("gather", "hangup")
        return gather

    async def ends(self, status: str, sip: int, *, caller: str = "in-progress") -> Any:
        """The dial to the target ends; returns what the caller gets then."""
        hook = self.transfer_dial["actionHook"]
        verbs = await self.jambonz.dial_ends(hook, caller, status, sip)
        if verbs:
            assert_valid_verbs(verbs)
        return verbs

    async def transfer(self) -> dict[str, Any]:
        transfer: dict[str, Any] = (await self.get_call())["transfer"]
        return transfer

    async def outcome(self) -> tuple[str, str | None]:
        call = await self.get_call()
        return call["call_status"], call["disconnection_reason"]


async def announced(
    gateway: Client, fake_livekit: FakeLiveKit, summary: str = SUMMARY
) -> Announcement:
    call = await answered(gateway)
    fake_livekit.add_participant(call.call_id, SIP, CALLER, {"sip.ruleID": "SDR_1"})
    fake_livekit.add_participant(call.call_id, AGENT, "agent-AJ_1")
    transfer = {"target": TARGET, "kind": "announced", "summary": summary}
    assert await agent_asks(gateway, call.call_id, transfer) == 204
    (refer,) = fake_livekit.requested(TransferSIPParticipantRequest)
    assert refer.transfer_to == f"tel:{TARGET}"
    announcement = Announcement(gateway, call.jambonz, call.dial)
    announcement.verbs = await call.refer()
    assert_valid_verbs(announcement.verbs)
    # LiveKit's leg, and with it the caller, leaves the agent.
    hook = call.dial["actionHook"]
    assert await call.jambonz.dial_ends(hook, "in-progress", "completed", 200) == []
    left = webhook("participant_left", call.call_id, SIP, attributes={"sip.ruleID": "SDR_1"})
    await send(gateway, "/livekit/webhook", left)
    return announcement


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(**SETTINGS, **FALLBACK)


@pytest.fixture
async def call(gateway: Client, fake_livekit: FakeLiveKit) -> Announcement:
    return await announced(gateway, fake_livekit)


async def test_a_target_who_presses_1_takes_the_call(call: Announcement) -> None:
    gather = await call.heard()
    assert gather["say"]["text"] == f"{SUMMARY} Press 1 to take the call."
    # That the target has answered is no transfer yet.
    assert await call.outcome() == ("ongoing", None)
    verbs = await call.jambonz.presses(gather["actionHook"], "1")
    assert_valid_verbs(verbs)
    # An answer without verbs would run the hangup that is behind the gather.
    assert [verb["verb"] for verb in verbs] == ["pause"]
    assert await call.outcome() == ("ended", "call_transfer")
    transfer = await call.transfer()
    assert (transfer["kind"], transfer["sip"]["status"]) == ("announced", 200)
    # Jambonz repeats a hook whose answer was lost.
    assert await call.jambonz.presses(gather["actionHook"], "1") == verbs
    assert await call.ends("completed", 200) == []
    assert await call.outcome() == ("ended", "call_transfer")


@pytest.mark.parametrize(
    ("key", "reason"), [("2", "user_declined"), ("", "dial_no_answer"), (None, "user_declined")]
)
async def test_a_caller_whose_target_declines_comes_back_to_the_agent(
    call: Announcement, key: str | None, reason: str
) -> None:
    """By another key, by none in time, or by hanging up while they listen."""
    gather = await call.heard()
    if key is not None:
        assert await call.jambonz.presses(gather["actionHook"], key) == HANGS_UP
    (dial,) = await call.ends("completed" if key is None else "in-progress", 200)
    assert dial["target"] == call.dial["target"]
    assert dial["referHook"] == call.dial["referHook"]
    assert dial["headers"]["X-Transfer-Reason"] == reason
    assert await call.outcome() == ("ongoing", None)
    transfer = await call.transfer()
    assert (transfer["kind"], transfer["sip"], transfer["reason"]) == ("announced", None, reason)
    assert transfer["ended_at"]


@pytest.mark.parametrize(
    ("status", "sip", "reason"),
    [
        ("busy", 486, "dial_busy"),
        ("failed", 603, "user_declined"),
        ("no-answer", 487, "dial_no_answer"),
        ("ringing", 180, "dial_no_answer"),
    ],
)
async def test_a_caller_whose_target_does_not_answer_comes_back_to_the_agent(
    call: Announcement, status: str, sip: int, reason: str
) -> None:
    (dial,) = await call.ends(status, sip)
    assert dial["target"] == call.dial["target"]
    assert await call.outcome() == ("ongoing", None)
    assert (await call.transfer())["reason"] == reason
    # Jambonz repeats a hook whose answer was lost.
    assert await call.ends(status, sip) == [dial]


async def test_who_came_back_talks_on_and_may_be_transferred_again(
    gateway: Client, fake_livekit: FakeLiveKit, call: Announcement
) -> None:
    (dial,) = await call.ends("busy", 486)
    call.jambonz.far_sid = "livekits-second-leg"
    await call.jambonz.far_status("in-progress")
    joins = {"sip.ruleID": "SDR_1", "sip.callID": "SCL_2"}
    await send(
        gateway,
        "/livekit/webhook",
        webhook("participant_joined", call.call_id, SIP, attributes=joins),
    )
    # The webhook about the leg that left for the transfer may come late.
    old = {"sip.ruleID": "SDR_1", "sip.callID": "SCL_1"}
    late = webhook("participant_connection_aborted", call.call_id, SIP, attributes=old)
    await send(gateway, "/livekit/webhook", late)
    assert await call.outcome() == ("ongoing", None)
    transfer = {"target": TARGET, "kind": "announced", "summary": "Once more."}
    assert await agent_asks(gateway, call.call_id, transfer) == 204
    call.verbs = await call.jambonz.refers(dial["referHook"], f"<tel:{TARGET}>")
    assert (await call.heard())["say"]["text"].startswith("Once more.")
    # The caller hangs up meanwhile.
    assert await call.ends("completed", 200, caller="completed") == []
    assert await call.outcome() == ("ended", "user_hangup")


@pytest.mark.parametrize("how", ["gone", "failed", "not in the room"])
@pytest.mark.parametrize("outcome", [("in-progress", 200), ("busy", 486)])
async def test_a_caller_whose_agent_is_gone_gets_the_fallback(
    gateway: Client,
    fake_livekit: FakeLiveKit,
    call: Announcement,
    how: str,
    outcome: tuple[str, int],
) -> None:
    if how == "not in the room":
        fake_livekit.participants[call.call_id].clear()
    elif how == "gone":
        await tell(gateway, call.call_id, "agent_gone", "its process has ended")
    else:
        await tell(gateway, call.call_id, "agent_failed", "ValueError: no model")
        await tell(gateway, call.call_id, "agent_gone", "its process has ended")
    verbs = await call.ends(*outcome)
    assert verbs[0]["target"] == [{"type": "phone", "number": "+15550123"}]
    assert await call.outcome() == ("ended", "call_transfer")
    assert (await call.transfer())["reason"] in {"user_declined", "dial_busy"}


async def test_a_target_who_accepts_after_the_caller_has_hung_up_is_hung_up_on(
    call: Announcement,
) -> None:
    gather = await call.heard()
    await call.jambonz.status("completed", call_termination_by="caller")
    assert await call.jambonz.presses(gather["actionHook"], "1") == HANGS_UP
    assert await call.outcome() == ("ended", "user_hangup")
    # A target who answers only then hears nothing.
    assert await call.jambonz.confirms(call.transfer_dial["confirmHook"]) == HANGS_UP


async def test_a_summary_is_plain_text(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    summary = "<speak>A & B</speak>\r\nVia: \u0007 x"
    call = await announced(gateway, fake_livekit, summary)
    text = (await call.heard())["say"]["text"]
    assert text == "speak A B /speak Via: x Press 1 to take the call."


async def test_a_recording_needs_no_speech(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    url = "https://pbx.example.com/press-1.wav"
    settings = {"transfer": {**SETTINGS["transfer"], "prompt": url}}
    call = await announced(await start_gateway(**settings), fake_livekit)
    gather = await call.heard()
    assert gather["play"] == {"url": url}
    assert "say" not in gather


async def test_the_room_outlives_the_time_in_which_only_its_agent_is_there(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    await answered(await start_gateway(**SETTINGS))
    await answered(await start_gateway())
    allowed, none = fake_livekit.requested(CreateRoomRequest)
    (dispatch,) = allowed.agents
    told = json.loads(dispatch.metadata)["gateway"]["transfer_timeout"]
    assert allowed.departure_timeout > told >= 30 + ANNOUNCEMENT_MS / 1000
    assert none.departure_timeout == 10


async def test_receivers_are_told_of_both_outcomes(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, receiver: Receiver
) -> None:
    callbacks = {"allowed_hosts": ["127.0.0.1"], "report_timeout": 0, "urls": [receiver.url]}
    call = await announced(await start_gateway(**SETTINGS, callbacks=callbacks), fake_livekit)
    gather = await call.heard()
    await call.jambonz.presses(gather["actionHook"], "9")
    await call.ends("in-progress", 200)
    await receiver.received(3)
    assert receiver.events == ["call_started", "transfer_started", "transfer_ended"]
    transfer = receiver.bodies[2]["call"]["transfer"]
    assert (transfer["kind"], transfer["reason"]) == ("announced", "user_declined")
    assert SUMMARY not in json.dumps(receiver.bodies)
