"""Every verb that the gateway can build is valid for Jambonz 9, 10 and 11.

Jambonz 9 and 10 check answers with @jambonz/verb-specifications, which needs Node: one test here
runs it. All other tests check verbs by the schemas of Jambonz 11, see schemas.py.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.calls.destinations import Credentials, DialOptions, FallbackTarget
from gateway.jambonz import verbs
from gateway.jambonz.verbs import Verbs
from tests.conftest import skip_unless_ci
from tests.jambonz.schemas import assert_valid_verbs

FOLDER = Path(__file__).parent
OPTIONS = DialOptions(30, 3605, "tone_stream://%(400,200,383,417);%(400,2000,383,417);loops=-1")
HOOK = "https://gateway.example.com/livekit-api/dial-action?fallback=0#rc=5&rp=ct,5xx"
DIAL_TARGETS = {
    "sip": FallbackTarget(sip="sip:desk@pbx.example.com"),
    "phone": FallbackTarget(phone="+15550100"),
    "trunk": FallbackTarget(phone="+15550100", trunk="my-carrier"),
}
FALLBACK_TARGETS = {
    **DIAL_TARGETS,
    "play": FallbackTarget(play="https://example.com/closed.wav"),
    "say": FallbackTarget(say="Please call again later."),
}


def dial_room(
    hook: str = HOOK, credentials: Credentials | None = None, options: DialOptions = OPTIONS
) -> Verbs:
    dial = verbs.dial_room(
        "sip:call-1@sip.example.com;transport=tcp",
        action_hook=hook,
        refer_hook=hook,
        headers={"X-Call-Id": "call-1", "X-Account-Code": "em-tech-01"},
        options=options,
        credentials=credentials,
    )
    return [dial]


#: What each builder returns, by the builder's name and the variant.
ANSWERS: Mapping[tuple[str, str], Verbs] = {
    ("dial_room", ""): dial_room(),
    ("dial_room", "relative hooks"): dial_room("/livekit-api/dial-action?fallback=0"),
    ("dial_room", "credentials"): dial_room(credentials=Credentials("jambonz", "password")),
    ("dial_room", "encrypted"): dial_room(
        options=replace(OPTIONS, srtp_encryption="sdes"),
    ),
    ("dial_uri", ""): verbs.dial_uri("sip:15550100@sip.example.com", options=OPTIONS),
    **{
        ("transfer_to", name): verbs.transfer_to(target, action_hook=HOOK, options=OPTIONS)
        for name, target in DIAL_TARGETS.items()
    },
    ("transfer_to", "announced"): verbs.transfer_to(
        DIAL_TARGETS["phone"], action_hook=HOOK, confirm_hook=HOOK, options=OPTIONS
    ),
    ("announce", "spoken"): verbs.announce("A call.", prompt="Press 1.", action_hook=HOOK),
    ("announce", "recorded"): verbs.announce(
        "A call.", prompt="https://pbx.example.com/press-1.wav", action_hook=HOOK
    ),
    ("proceed", ""): verbs.proceed(),
    **{
        ("fallback", name): verbs.fallback(target, action_hook=HOOK, options=OPTIONS)
        for name, target in FALLBACK_TARGETS.items()
    },
    ("enqueue", ""): verbs.enqueue("call-1", wait_hook=HOOK, action_hook=HOOK),
    ("dequeue", ""): verbs.dequeue("call-1", timeout=20),
    ("play", ""): verbs.play("tone_stream://%(1000,2000,425)"),
    ("leave", ""): verbs.leave(),
    ("hangup", ""): verbs.hangup(),
    ("sip_decline", ""): verbs.sip_decline(486, "Busy Here"),
}


def test_every_builder_is_checked() -> None:
    builders = {
        name
        for name, value in vars(verbs).items()
        if callable(value) and value.__module__ == verbs.__name__ and not name.startswith("_")
    }
    assert builders == {builder for builder, _ in ANSWERS}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=map(" ".join, ANSWERS))
def test_every_verb_is_valid_for_jambonz_11(answer: Verbs) -> None:
    assert_valid_verbs(answer)


@pytest.mark.server
def test_every_verb_is_valid_for_jambonz_9_and_10() -> None:
    invalid = [{"verb": "hangup", "unknown": 1}]
    *verdicts, rejection = verdicts_of_node([*ANSWERS.values(), invalid])
    assert dict(zip(ANSWERS, verdicts, strict=True)) == dict.fromkeys(ANSWERS, "ok")
    assert "unknown" in rejection


def verdicts_of_node(answers: Sequence[Any]) -> Sequence[str]:
    """For each answer "ok", or the error message of @jambonz/verb-specifications."""
    node = shutil.which("node")
    if not node or not (FOLDER / "node_modules").is_dir():
        skip_unless_ci(
            "@jambonz/verb-specifications needs Node and npm: install them, then `make test`"
        )
    process = subprocess.run(
        [node, "validate.js"],
        cwd=FOLDER,
        input="".join(json.dumps(answer) + "\n" for answer in answers),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return process.stdout.splitlines()
