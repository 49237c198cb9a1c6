"""The lookup before an inbound call: what it is told, what it may answer, and what else it does."""

import asyncio
import base64
import logging
from dataclasses import replace
from typing import Any

import pytest
from standardwebhooks import Webhook

from agent.profiles.hosts import HostPolicy
from agent.profiles.options import LookupAnswer
from agent.profiles.profile import AgentsFile, Lookup, Profile
from agent.voice.call_profile import profile_of
from agent.voice.lookup import look_up
from agent.voice.requests import Requests
from common.signing import Signer
from tests.agent.tools.conftest import CALL, CALL_SENT
from tests.fakes.receiver import Receiver

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


async def answer_to(url: str, *allowed_hosts: str, **settings: Any) -> LookupAnswer | None:
    lookup = Lookup(url=url, headers={"X-Callback-Key": "a-secret-key"}, **settings)
    requests = Requests(HostPolicy.reading(allowed_hosts), Signer([SECRET]))
    return await look_up(lookup, CALL, requests)


async def test_the_endpoint_chooses_profile_variables_and_options(receiver: Receiver) -> None:
    receiver.text = """{"profile": "night", "variables": {"patient_name": "Zoë", "visits": 3},
        "session_options": {"language": "de"}, "of_no_interest": true}"""
    answer = await answer_to(f"{receiver.url}/lookup", "127.0.0.1")
    assert answer
    assert (answer.profile, answer.variables) == ("night", {"patient_name": "Zoë", "visits": 3})
    assert answer.session_options.language == "de"
    headers, body, _ = receiver.raw[0]
    assert Webhook(SECRET).verify(body.decode(), headers) == {"call": CALL_SENT}
    assert headers["X-Callback-Key"] == "a-secret-key"


@pytest.mark.parametrize(
    ("text", "status", "why"),
    [
        ("<!doctype html><p>Please sign in", 200, "the answer is HTML"),
        ("Workflow was started", 200, "the answer is no JSON"),
        ('{"profile": ', 200, "the answer is no JSON"),
        ("[" * 5000, 200, "the answer is no JSON"),
        ("", 200, "the answer is empty"),
        ("[]", 200, "lookup"),
        ('{"profile": 5}', 200, "profile"),
        ('{"variables": {"name": [1]}}', 200, "variables.name"),
        ('{"session_options": {"tools": []}}', 200, "session_options.tools"),
        ("x" * 8193, 200, "longer than 8192 bytes"),
        ("secret-trace", 500, "answered 500 Internal Server Error"),
        ("", 302, "answered 302 Found"),
    ],
)
async def test_an_answer_that_cannot_be_used_is_logged_and_left_out(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, text: str, status: int, why: str
) -> None:
    receiver.text, receiver.answer = text, lambda _: status
    assert await answer_to(f"{receiver.url}/lookup?key=k3y", "127.0.0.1") is None
    (line,) = (record for record in caplog.records if record.name == "agent.lookup")
    assert line.levelno == logging.WARNING
    shown = str(vars(line))
    assert why in vars(line)["error"]
    assert vars(line)["url"] == f"{receiver.url}/lookup"
    assert not any(secret in shown for secret in ("k3y", "a-secret-key", "secret-trace"))


async def test_an_answer_that_is_late_is_not_waited_for(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.hang_until = asyncio.Event()
    assert await answer_to(receiver.url, "127.0.0.1", timeout=0.1) is None
    assert "no answer within 0.1 s" in str(vars(caplog.records[-1]))


async def test_a_private_address_is_not_asked(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    assert await answer_to(receiver.url) is None
    assert "private address" in str(vars(caplog.records[-1]))
    assert not receiver.raw


async def test_a_profile_that_does_not_exist_is_left_out(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.text = '{"profile": "nigth", "session_options": {"greeting": "Good night."}}'
    lookup = {"url": f"{receiver.url}/lookup"}
    agents = AgentsFile.model_validate({"profiles": {"default": {"lookup": lookup}, "night": {}}})
    requests = Requests(HostPolicy.reading(["127.0.0.1"]), Signer())
    name, profile = await profile_of(agents, CALL, requests)
    assert (name, profile.greeting) == ("default", Profile().greeting)
    assert "no profile 'nigth'" in str(vars(caplog.records[-1]))


async def test_only_inbound_calls_are_looked_up(receiver: Receiver) -> None:
    agents = AgentsFile.model_validate({"profiles": {"default": {"lookup": {"url": receiver.url}}}})
    requests = Requests(HostPolicy.reading(["127.0.0.1"]), Signer())
    await profile_of(agents, replace(CALL, direction="outbound"), requests)
    assert not receiver.raw
