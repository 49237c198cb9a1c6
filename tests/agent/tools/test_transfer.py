"""The agent hands the caller to a person, in three ways; the gateway is asked each time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from agent.ending import Ending
from agent.voice.departure import caller_departure
from agent.voice.voice_call import VoiceCall
from tests.agent.tools.conftest import CALL, conversation, ended, model_of, turn
from tests.fakes.agent_room import Person, Room
from tests.fakes.llm import Reply, Use
from tests.fakes.receiver import Receiver

TO_RECEPTION = Use("transfer", {"target": "reception"})
WITH_SUMMARY = Use("transfer", {"target": "reception", "summary": "Zoë needs a new date."})
CALLER = "sip_+15550100"


def caller(**attributes: str) -> Person:
    return Person(CALLER, attributes={"sip.ruleID": "SDR_1", **attributes})


def profile(kind: str, text: str = "I will connect you now.") -> dict[str, Any]:
    targets = {"reception": "+15550111", "doctor": "sip:doctor@pbx.example.com"}
    return {
        "tools": [{"type": "transfer"}],
        "transfer": {"targets": targets, "kind": kind, "text": text},
    }


@asynccontextmanager
async def talking(
    kind: str, gateway: Receiver, *replies: Reply, room: Room | None = None, **changes: Any
) -> AsyncIterator[VoiceCall]:
    call = replace(CALL, report_url=f"{gateway.url}/report", **changes)
    async with conversation(
        profile(kind), *replies, call=call, room=room or Room(caller())
    ) as voice:
        yield voice


def said(voice: VoiceCall) -> list[str]:
    items: list[Any] = voice.session.history.items
    return [it.text_content for it in items if it.type == "message" and it.role == "assistant"]


def output_of(run: Any) -> Any:
    (output,) = (event.item for event in run.events if event.type == "function_call_output")
    return output


async def test_the_caller_is_told_and_the_gateway_transfers_them(receiver: Receiver) -> None:
    async with talking("cold", receiver, TO_RECEPTION) as voice:
        await turn(voice, "A person, please.")
        assert said(voice) == ["I will connect you now."]
        assert voice.is_leaving
        assert not voice.ends.has_ended  # the caller's departure ends it
        assert len(model_of(voice).requests) == 1
    headers, body, path = receiver.raw[0]
    assert json.loads(body) == {"target": "+15550111", "kind": "cold", "summary": ""}
    assert headers["Authorization"].startswith("Bearer ")
    assert path == "/report/transfer"


async def test_the_model_knows_targets_by_name_only(receiver: Receiver) -> None:
    replies = (Use("transfer", {"target": "+15550122"}), "I cannot do that.")
    async with talking("cold", receiver, *replies) as voice:
        run = await turn(voice, "Put me through to +15550122.")
        assert output_of(run).is_error
        assert "+15550111" not in str(model_of(voice).requests)
    assert not receiver.raw


@pytest.mark.parametrize(
    ("status", "answer", "why"),
    [
        (403, '{"error": "transfer_not_allowed", "message": "it is not allowed"}', "not allowed"),
        (502, "<html>", "the gateway answered 502"),
    ],
)
@pytest.mark.parametrize("kind", ["cold", "warm", "announced"])
async def test_a_transfer_that_is_refused_is_told_to_the_model(
    receiver: Receiver, kind: str, status: int, answer: str, why: str
) -> None:
    receiver.answer, receiver.text = lambda _: status, answer
    use = WITH_SUMMARY if kind == "announced" else TO_RECEPTION
    async with talking(kind, receiver, use, "I am sorry.") as voice:
        run = await turn(voice, "A person, please.")
        assert said(voice)[-1] == "I am sorry."
        assert (voice.is_leaving, voice.is_away) == (False, False)
    output = output_of(run)
    assert output.is_error
    assert output.output.startswith("the caller is still with you, not with reception: ")
    assert why in output.output


async def test_a_gateway_that_does_not_answer_is_told_to_the_model() -> None:
    gateway = Receiver(url="http://127.0.0.1:9")
    async with talking("cold", gateway, TO_RECEPTION, "I am sorry.") as voice:
        assert "the gateway did not answer" in output_of(await turn(voice, "Please.")).output


async def test_without_a_gateway_there_is_no_transfer() -> None:
    async with conversation(profile("cold"), TO_RECEPTION, "I am sorry.") as voice:
        assert "no gateway" in output_of(await turn(voice, "Please.")).output


async def test_the_agent_introduces_the_caller_and_leaves_the_two(receiver: Receiver) -> None:
    async with talking("warm", receiver, TO_RECEPTION, "This is Zoë, about her date.") as voice:
        await turn(voice, "A person, please.")
        # No reason: the room stays, with the two in it.
        assert await ended(voice) == Ending("the agent has introduced somebody to the caller")
        assert said(voice)[-1] == "This is Zoë, about her date."


async def test_an_announced_target_hears_a_summary_and_takes_the_call(receiver: Receiver) -> None:
    room = Room(caller())
    async with talking("announced", receiver, WITH_SUMMARY, room=room) as voice:
        leaving = asyncio.create_task(caller_departure(voice))
        run: Any = voice.session.run(user_input="A person, please.")
        await receiver.received(1)
        room.leaves(CALLER)
        await asyncio.sleep(0.05)
        assert not leaving.done()
        room.end()
        assert (await leaving) == Ending("room ended")
        await run
        assert len(model_of(voice).requests) == 1
    summary = {"target": "+15550111", "kind": "announced", "summary": "Zoë needs a new date."}
    assert receiver.bodies[0] == summary


@pytest.mark.parametrize(
    ("attributes", "why"),
    [
        ({"sip.h.x-transfer-reason": "user_declined"}, "they declined"),
        ({"sip.h.x-transfer-reason": "dial_busy"}, "they are busy"),
        ({"sip.h.x-transfer-reason": "dial_no_answer"}, "they did not answer"),
        ({}, "nobody took the call"),
    ],
)
async def test_a_caller_whom_nobody_takes_is_back_with_the_agent(
    receiver: Receiver, attributes: dict[str, str], why: str
) -> None:
    room = Room(caller())
    async with talking("announced", receiver, WITH_SUMMARY, "Sorry.", room=room) as voice:
        leaving = asyncio.create_task(caller_departure(voice))
        run: Any = voice.session.run(user_input="A person, please.")
        await receiver.received(1)
        room.leaves(CALLER)
        back: Any = caller(**attributes)
        room.joins(back)
        await run
        assert why in output_of(run).output
        assert said(voice)[-1] == "Sorry."
        assert voice.caller is back
        assert (voice.is_leaving, voice.is_away, leaving.done()) == (False, False, False)
        room.leaves(CALLER)
        assert (await leaving) == Ending("caller left")


async def test_a_caller_who_does_not_come_back_ends_the_call(receiver: Receiver) -> None:
    room = Room(caller())
    async with talking(
        "announced", receiver, WITH_SUMMARY, room=room, transfer_timeout=0.1
    ) as voice:
        run: Any = voice.session.run(user_input="A person, please.")
        await receiver.received(1)
        room.leaves(CALLER)
        assert (await ended(voice)).reason == "agent_hangup"
        await run


async def test_a_leg_that_still_rings_is_not_back_yet(receiver: Receiver) -> None:
    room = Room(caller())
    async with talking("announced", receiver, WITH_SUMMARY, "Sorry.", room=room) as voice:
        run: Any = voice.session.run(user_input="A person, please.")
        await receiver.received(1)
        room.leaves(CALLER)
        room.joins(caller(**{"sip.callStatus": "ringing"}))
        await asyncio.sleep(0.05)
        assert voice.is_away
        active = room.remote_participants[CALLER]
        active.attributes = {**active.attributes, "sip.callStatus": "active"}
        room.emit("participant_attributes_changed", active)
        await run
        assert said(voice)[-1] == "Sorry."
