"""POST /dispatch: `session_options` that the shipped agent cannot use are refused."""

from typing import Any

import pytest

from gateway.api.session_options import MAX_PROBLEMS
from tests.api.test_dispatch import LEAST, dispatch
from tests.api.test_dispatch_input import refused
from tests.conftest import GatewayStarter
from tests.fakes.livekit import FakeLiveKit

VOICE = {"pipeline": "voice"}
GOOD = {
    "profile": "clinic",
    "variables": {"name": "Ana", "visits": 3, "new": False, "note": None},
    "greeting": "Hello {{name}}",
    "silence": {"after": 5, "prompts": ["Hello?"]},
    "voicemail": {"action": "leave_message", "message": "Please call us."},
    "keyterms": ["INC-1234"],
    "language": None,
}


async def test_all_problems_are_told_at_once(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(agent=VOICE)
    options = {
        "llm": "openai/gpt",
        "language": 5,
        "silence": {"after": -1, "aftr": 3, "prompts": ["Hello?", ""]},
        "goodbye": {"before": 601},
        "voicemail": {"action": "hangup"},
        "variables": {"a b": 1, "c": [1]},
        "profile": "my clinic",
        "instructions": "x" * 20_001,
        "turn_handling": None,
        "keyterms": "a",
    }
    error = await refused(gateway, fake_livekit, session_options=options)
    found = error["details"]["session_options"]
    assert list(error["details"]) == ["session_options"]
    assert found.pop("llm")[0].startswith("Unknown field; there are: profile, variables, ")
    assert found == {
        "language": ["Must be text."],
        "silence": {
            "after": ["Must be at least 0."],
            "aftr": ["Unknown field; there are: after, prompts, goodbye."],
            "prompts": {"1": ["Must not be empty."]},
        },
        "goodbye": {"before": ["Must be at most 600."]},
        "voicemail": {"action": ["Must be one of: none, hang_up, leave_message."]},
        "variables": {
            "a b": ["Its name must match ^[A-Za-z0-9_-]{1,64}$."],
            "c": ["Must be text or a number or true or false."],
        },
        "profile": ["Must match ^[A-Za-z0-9_-]{1,64}$."],
        "instructions": ["Must be at most 20000 characters long."],
        "keyterms": ["Must be a list."],
    }
    assert error["error"] == "invalid"
    assert "session_options.silence.aftr" in error["message"]
    assert "session_options.silence.prompts.1" in error["message"]


async def test_an_answer_has_an_end(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(agent=VOICE)
    options = {f"unknown-{number}": 1 for number in range(1000)}
    error = await refused(gateway, fake_livekit, session_options=options)
    assert len(error["details"]["session_options"]) == MAX_PROBLEMS


@pytest.mark.parametrize("options", [{}, GOOD])
async def test_what_the_agent_can_use_passes(
    options: dict[str, Any], start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(agent=VOICE)
    assert (await dispatch(gateway, {**LEAST, "session_options": options}))[0] == 200


@pytest.mark.parametrize(
    ("agent", "name", "is_checked"),
    [
        (VOICE, "", True),
        (VOICE, "nehos-outbound-agent", True),
        (VOICE, "somebody-elses-agent", False),
        ({"pipeline": "diagnostic"}, "", False),
        ({"name": "clinic", **VOICE}, "clinic", True),
        ({"name": "clinic", **VOICE}, "nehos-outbound-agent", False),
    ],
)
async def test_only_the_shipped_agents_options_are_checked(
    agent: dict[str, str], name: str, is_checked: bool, start_gateway: GatewayStarter
) -> None:
    # The fake LiveKit has one agent: a request for another one passes the check, and no further.
    gateway = await start_gateway(agent=agent, outbound={"agent_timeout": 0.1})
    body = {**LEAST, "session_options": {"mood": "good"}, **({"agent_name": name} if name else {})}
    status, _ = await dispatch(gateway, body)
    assert (status == 422) is is_checked
