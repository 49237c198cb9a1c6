"""Every verb that the gateway can build is valid for Jambonz 9 and 10.

Those versions check answers with @jambonz/verb-specifications, which runs in Node. Jambonz 11's own
schemas are checked by all tests that get verbs, see schemas.py.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from gateway.calls.destinations import Credentials, DialLimits, FallbackTarget
from gateway.jambonz import verbs
from gateway.jambonz.verbs import Verbs
from tests.conftest import lacking
from tests.jambonz.schemas import assert_valid_verbs

FOLDER = Path(__file__).parent
LIMITS = DialLimits(30, 3605)
HOOK = "https://gateway.example.com/livekit-api/dial-action?fallback=0#rc=3&rp=ct,5xx"
SIP = FallbackTarget(sip="sip:desk@pbx.example.com")
PHONE = FallbackTarget(phone="+15550100")
THROUGH_TRUNK = FallbackTarget(phone="+15550100", trunk="my-carrier")
SAY = FallbackTarget(say="Please call again later.")


def room(credentials: Credentials | None = None) -> Verbs:
    dial = verbs.dial_room(
        "sip:call-1@sip.example.com;transport=tcp",
        action_hook=HOOK,
        refer_hook=HOOK,
        headers={"X-Call-Id": "call-1", "X-Account-Code": "em-tech-01"},
        limits=LIMITS,
        credentials=credentials,
    )
    return [dial]


ANSWERS: Mapping[str, Verbs] = {
    "dial_room": room(),
    "dial_room with credentials": room(Credentials("jambonz", "password")),
    "dial_static": verbs.dial_static("sip:15550100@sip.example.com", limits=LIMITS),
    **{
        f"transfer_to {target}": verbs.transfer_to(target, action_hook=HOOK, limits=LIMITS)
        for target in (SIP, PHONE, THROUGH_TRUNK)
    },
    **{
        f"fallback {target} {target.trunk}": verbs.fallback(target, action_hook=HOOK, limits=LIMITS)
        for target in (SIP, PHONE, THROUGH_TRUNK, SAY)
    },
    "enqueue": verbs.enqueue("call-1", wait_hook=HOOK, action_hook=HOOK),
    "dequeue": verbs.dequeue("call-1", timeout=20),
    "play": verbs.play("tone_stream://%(1000,2000,425)"),
    "leave": verbs.leave(),
    "hang_up": verbs.hang_up(),
    "decline": verbs.decline(486, "Busy Here"),
}


def test_every_builder_is_checked() -> None:
    builders = {
        name
        for name, value in vars(verbs).items()
        if callable(value) and value.__module__ == verbs.__name__ and not name.startswith("_")
    }
    assert builders == {case.partition(" ")[0] for case in ANSWERS}


def test_every_verb_is_valid_for_jambonz_11() -> None:
    for answer in ANSWERS.values():
        assert_valid_verbs(answer)


@pytest.mark.server
def test_every_verb_is_valid_for_jambonz_9_and_10() -> None:
    node = shutil.which("node")
    if not node or not (FOLDER / "node_modules").is_dir():
        lacking("@jambonz/verb-specifications needs Node and npm: install them, then `make test`")
    checked = subprocess.run(
        [node, "validate.js"],
        cwd=FOLDER,
        input="".join(json.dumps(answer) + "\n" for answer in ANSWERS.values()),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    verdicts = dict(zip(ANSWERS, checked.stdout.splitlines(), strict=True))
    assert verdicts == dict.fromkeys(ANSWERS, "ok")
