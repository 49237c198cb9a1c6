"""Tools that are HTTP requests: what is sent, what the model is told, and what the caller hears."""

import asyncio
import json
import logging
from typing import Any

import pytest

from tests.agent.tools.conftest import CALL_SENT, conversation, model_of, turn
from tests.fakes.llm import Use
from tests.fakes.receiver import Receiver

SLOTS = Use("free_slots", {"day": "2026-12-01"})


def profile(url: str, **settings: Any) -> dict[str, Any]:
    tool = {
        "type": "http",
        "name": "free_slots",
        "description": "Free appointments of a day.",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string", "minLength": 10}},
            "required": ["day"],
        },
        "url": url,
        "headers": {"X-Callback-Key": "a-secret-key"},
        **settings,
    }
    return {"tools": [tool]}


async def test_the_endpoint_gets_the_arguments_and_the_call(receiver: Receiver) -> None:
    receiver.text = '{"free": ["09:00", "11:30"]}'
    async with conversation(profile(receiver.url), SLOTS, "At nine or half past eleven.") as voice:
        run = await turn(voice, "When can I come?")
        run.expect.contains_function_call_output(output=receiver.text, is_error=False)
        assert model_of(voice).offered[0] == ["free_slots"]
    (body,) = receiver.bodies
    assert body == {
        "name": "free_slots",
        "arguments": {"day": "2026-12-01"},
        "call": CALL_SENT,
    }
    headers = receiver.raw[0][0]
    assert headers["X-Callback-Key"] == "a-secret-key"
    assert headers["webhook-id"].startswith("call-1-")


@pytest.mark.parametrize("arguments", [{}, {"day": 5}, {"day": "today"}])
async def test_arguments_that_the_schema_forbids_are_told_to_the_model(
    receiver: Receiver, arguments: dict[str, object]
) -> None:
    replies = (Use("free_slots", arguments), SLOTS, "At nine.")
    async with conversation(profile(receiver.url), *replies) as voice:
        run = await turn(voice, "When?")
    first, second = (e.item for e in run.events if e.type == "function_call_output")
    assert (first.is_error, second.is_error) == (True, False)
    assert "argument" in first.output
    assert "day" in first.output
    assert len(receiver.raw) == 1


async def test_a_tool_that_fails_is_told_to_the_model_and_to_no_log_with_secrets(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answer, receiver.text = lambda _: 403, "the password is 1234"
    with caplog.at_level(logging.DEBUG, "agent"):
        async with conversation(profile(f"{receiver.url}/?key=k3y"), SLOTS, "Sorry.") as voice:
            run = await turn(voice, "When?")
    output = "free_slots failed: answered 403 Forbidden"
    run.expect.contains_function_call_output(output=output, is_error=True)
    (line,) = (record for record in caplog.records if record.name == "agent.tools")
    assert (line.message, vars(line)["tool"]) == ("tool.failed", "free_slots")
    shown = json.dumps(vars(line), default=str)
    assert not any(secret in shown for secret in ("a-secret-key", "k3y", "password", "2026-12-01"))


async def test_a_private_address_is_told_to_the_model(receiver: Receiver) -> None:
    async with conversation(profile(receiver.url), SLOTS, "Sorry.", allowed_hosts=()) as voice:
        run = await turn(voice, "When?")
    output = "free_slots failed: 127.0.0.1 is a private address: name it in allowed_hosts"
    run.expect.contains_function_call_output(output=output, is_error=True)
    assert not receiver.raw


async def test_the_caller_hears_a_filler_while_a_tool_takes_its_time(receiver: Receiver) -> None:
    receiver.hang_until, receiver.text = asyncio.Event(), "nine"
    patient = profile(receiver.url, filler="Let me look.", filler_after=0.05)
    async with conversation(patient, SLOTS, "At nine.") as voice:
        heard = asyncio.Event()
        voice.session.on("conversation_item_added", lambda _: heard.set())
        run: Any = voice.session.run(user_input="When?")
        async with asyncio.timeout(5):
            while "Let me look." not in _said(voice):
                heard.clear()
                await heard.wait()
        assert "At nine." not in _said(voice)
        receiver.hang_until.set()
        await run
        assert _said(voice)[-2:] == ["Let me look.", "At nine."]
        messages, _ = model_of(voice).requests[-1].to_provider_format("openai")
        assert messages[-3]["content"] == "Let me look."
        assert messages[-1]["role"] == "tool"


async def test_a_quick_tool_needs_no_filler(receiver: Receiver) -> None:
    receiver.text = "nine"
    async with conversation(profile(receiver.url), SLOTS, "At nine.") as voice:
        await turn(voice, "When?")
        assert _said(voice) == ["At nine."]


async def test_a_tool_that_hangs_is_given_up(receiver: Receiver) -> None:
    receiver.hang_until = asyncio.Event()
    impatient = profile(receiver.url, timeout=0.1, filler="")
    async with conversation(impatient, SLOTS, "Sorry.") as voice:
        run = await turn(voice, "When?")
    output = "free_slots failed: no answer within 0.1 s"
    run.expect.contains_function_call_output(output=output, is_error=True)


async def test_an_answer_without_words_is_told_as_done(receiver: Receiver) -> None:
    async with conversation(profile(receiver.url), SLOTS, "Done.") as voice:
        run = await turn(voice, "When?")
    run.expect.contains_function_call_output(output="done, without an answer", is_error=False)


def _said(voice: Any) -> list[str]:
    items = voice.session.history.items
    return [it.text_content for it in items if it.type == "message" and it.role == "assistant"]
