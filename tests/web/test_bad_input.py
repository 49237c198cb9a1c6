"""Bad input gets a clear answer: never a 500, never a call that is only half there."""

import io
import json
import time
from typing import Any

import pytest

from gateway.jambonz.signature import sign
from tests.conftest import WEBHOOK_SECRET, Client, listed
from tests.fakes.livekit import FakeLiveKit

JSON = "application/json"

CASES = {
    "not JSON": (b"{", JSON, 400, "not_json"),
    "nothing": (b"", JSON, 400, "not_json"),
    "not UTF-8": (b'"\xff"', JSON, 400, "not_json"),
    "nested too deep": (b"[" * 100_000, JSON, 400, "not_json"),
    "an array": (b'[{"call_sid": "1"}]', JSON, 422, "invalid"),
    "a number": (b"1", JSON, 422, "invalid"),
    "null": (b"null", JSON, 422, "invalid"),
    "no call_sid": (b'{"from": "+15550100"}', JSON, 422, "invalid"),
    "an empty call_sid": (b'{"call_sid": ""}', JSON, 422, "invalid"),
    "a call_sid that is no text": (b'{"call_sid": {"a": 1}}', JSON, 422, "invalid"),
    "a number that is no text": (b'{"call_sid": "1", "from": []}', JSON, 422, "invalid"),
    "a form": (b"call_sid=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
    "plain text": (b'{"call_sid": "1"}', "text/plain", 415, "unsupported_media_type"),
    "2 MiB": (b'{"call_sid": "' + b"1" * 2_097_152 + b'"}', JSON, 413, "too_large"),
}


async def post(gateway: Client, door: str, body: bytes, content_type: str) -> tuple[int, Any]:
    signature = sign(body, WEBHOOK_SECRET, at=int(time.time()))
    headers = {"Content-Type": content_type, "Jambonz-Signature": signature}
    async with gateway.post(door, data=io.BytesIO(body), headers=headers) as answer:
        return answer.status, await answer.json()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "door",
    [
        "/livekit-api",
        "/livekit-simple",
        "/livekit-api/dial-action",
        "/livekit-api/call-status",
        "/livekit-api/refer",
        "/livekit-api/transfer-action?call_id=call-1",
        "/livekit-api/queue-action?call_id=call-1",
    ],
)
async def test_bad_hooks(gateway: Client, fake_livekit: FakeLiveKit, door: str, case: str) -> None:
    body, content_type, status, code = CASES[case]
    if case == "a number that is no text" and door not in {"/livekit-api", "/livekit-simple"}:
        body = b'{"call_sid": "1", "call_status": {}}'
    answered, error = await post(gateway, door, body, content_type)
    assert (answered, error["error"]) == (status, code)
    assert error["message"]
    assert (await listed(gateway, "?include=ended"))["calls"] == []
    assert not fake_livekit.requests


async def test_an_invalid_field_is_named(gateway: Client) -> None:
    body = json.dumps({"call_sid": "1", "from": 5}).encode()
    _, error = await post(gateway, "/livekit-api", body, JSON)
    assert "from" in error["message"]
    assert error["details"] == {"from": ["Must be text."]}


@pytest.mark.parametrize("value", ["two", None, -1, 99, 1000, [], {"a": 1}, 486.5])
async def test_an_odd_sip_status_does_not_lose_the_hook(gateway: Client, value: object) -> None:
    content = {"call_sid": "1", "call_status": "trying", "dial_sip_status": value}
    status, verbs = await post(
        gateway, "/livekit-api/dial-action", json.dumps(content).encode(), JSON
    )
    assert status == 200
    assert verbs[0]["status"] == 503


@pytest.mark.parametrize(
    "hook",
    [
        "dial-action?fallback=x",
        "dial-action?fallback=-1",
        "dial-action?fallback=101",
        "transfer-action",
        "queue-action?call_id=",
        "queue-wait",
    ],
)
async def test_a_later_hook_that_we_did_not_write(gateway: Client, hook: str) -> None:
    body = b'{"call_sid": "1", "call_status": "trying"}'
    status, _ = await post(gateway, f"/livekit-api/{hook}", body, JSON)
    assert status == 422


@pytest.mark.parametrize("details", [None, [], {}, {"sip_refer_to": 5}, "tel:+61491570156"])
async def test_a_refer_hook_without_a_target(gateway: Client, details: object) -> None:
    content = {"call_sid": "1", "call_status": "in-progress", "refer_details": details}
    status, _ = await post(gateway, "/livekit-api/refer", json.dumps(content).encode(), JSON)
    # Never an empty 200: LiveKit would wait for its REFER to its time-out.
    assert status in {404, 422}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/livekit-api", 405, "method_not_allowed"),
        ("DELETE", "/livekit-api/calls", 405, "method_not_allowed"),
    ],
)
async def test_doors_that_are_not_there(
    gateway: Client, method: str, path: str, status: int, code: str
) -> None:
    async with gateway.request(method, path) as answer:
        assert answer.status == status
        assert (await answer.json())["error"] == code
        if status == 405:
            assert "Allow" in answer.headers
