"""The schema checks reject what Jambonz rejects, and accept what the simulated Jambonz posts."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from gateway.jambonz import urls
from gateway.tools.simulate.jambonz import Jambonz
from tests.jambonz.schemas import HOOK_SCHEMAS, assert_valid_hook, assert_valid_verbs

TARGET = {"type": "sip", "sipUri": "sip:desk@pbx.example.com"}


@pytest.mark.parametrize(
    "verbs",
    [
        [],
        {"verb": "hangup"},
        [{"verb": "hangup", "unknown": 1}],
        [{"verb": "dial", "target": [TARGET], "answeronbridge": True}],
        [{"verb": "dial", "target": [{**TARGET, "unknown": 1}]}],
        [{"verb": "dial", "target": []}],
        [{"verb": "dial", "target": [TARGET], "timeout": "30"}],
        [{"verb": "enqueue"}],
        [{"verb": "sip:decline", "reason": "Busy Here"}],
    ],
)
def test_invalid_verbs_are_rejected(verbs: Any) -> None:
    with pytest.raises(AssertionError):
        assert_valid_verbs(verbs)


@pytest.mark.parametrize(
    ("path", "payload"),
    [
        (urls.CALL_STATUS_HOOK, {"call_status": "unknown"}),
        (urls.DIAL_ACTION, {"dial_sip_status": "486"}),
        (urls.REFER_HOOK, {"call_sid": "1"}),
        (urls.QUEUE_ACTION, {"queue_result": "unknown"}),
    ],
)
def test_invalid_hooks_are_rejected(path: str, payload: Mapping[str, Any]) -> None:
    with pytest.raises(AssertionError):
        assert_valid_hook(path, payload)


class RecordingJambonz(Jambonz):
    """Records hooks instead of posting them."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        super().__init__(session, "http://gateway.example.com", "", "+15550100", "+15550199")
        self.hooks: list[tuple[str, Mapping[str, Any]]] = []

    async def _post(self, path: str, content: Mapping[str, object]) -> Any:
        self.hooks.append((path.partition("?")[0], content))
        return [{"verb": "hangup"}]


async def test_the_simulated_jambonz_posts_valid_hooks() -> None:
    async with aiohttp.ClientSession() as session:
        jambonz = RecordingJambonz(session)
        await jambonz.call_arrives()
        await jambonz.status("trying", 100)
        await jambonz.far_status("early-media", 183)
        await jambonz.dial_ends(f"{urls.DIAL_ACTION}?fallback=0", "in-progress", "completed", 200)
        await jambonz.dial_ends(f"{urls.TRANSFER_ACTION}?call_id=1", "in-progress", "busy", 486)
        await jambonz.refers(urls.REFER_HOOK, "<tel:+15550123>")
        await jambonz.confirms(f"{urls.CONFIRM_HOOK}?call_id=1")
        await jambonz.presses(f"{urls.CONFIRM_ACTION}?call_id=1", "1")
        await jambonz.presses(f"{urls.CONFIRM_ACTION}?call_id=1", "")
        await jambonz.waits(f"{urls.QUEUE_WAIT}?call_id=1")
        await jambonz.queue_ends(f"{urls.QUEUE_ACTION}?call_id=1", "in-progress", "bridged")
        await jambonz.status("completed", call_termination_by="caller", duration=3)
    assert {path for path, _ in jambonz.hooks} == set(HOOK_SCHEMAS)
    for path, payload in jambonz.hooks:
        assert_valid_hook(path, payload)
