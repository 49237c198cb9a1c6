"""Bad input gets a clear answer: never a 500, never a call that is only half there.

A table for each kind of visitor: what is sent, and the status, code and field that answer it.
"""

import asyncio
import base64
import io
import json
from collections.abc import Mapping
from typing import Any

import pytest
from yarl import URL

from gateway.app import create_app
from tests.conftest import (
    READ_KEY,
    Client,
    GatewayStarter,
    config_for,
    jambonz_for,
    listed,
    shown,
)
from tests.fakes.livekit import FakeLiveKit
from tests.web.visitors import proof_for

JSON = {"Content-Type": "application/json"}
LEG = {"call_sid": "1", "call_status": "trying"}
ORDER = {"destination": "61491570156", "account_code": "em-tech-01"}

CALL_HOOK = "POST /livekit-api"
SIMPLE = "POST /livekit-simple"
DIAL = "POST /livekit-api/dial-action"
STATUS = "POST /livekit-api/call-status"
REFER = "POST /livekit-api/refer"
TRANSFERRED = "POST /livekit-api/transfer-action"
WAIT = "POST /livekit-api/queue-wait"
QUEUE = "POST /livekit-api/queue-action"
DISPATCH = "POST /dispatch"
CALLS = "GET /livekit-api/calls"
CALL = "GET /livekit-api/calls/{call_id}"
HANG_UP = "POST /livekit-api/calls/{call_id}/hangup"
TRANSFER = "POST /livekit-api/calls/{call_id}/transfer"
RETRY = "POST /livekit-api/calls/{call_id}/deliveries/{delivery_id}/retry"
REPORT = "POST /livekit-api/calls/{call_id}/report"
WEBHOOK = "POST /livekit/webhook"
DIAGNOSTICS = "GET /livekit-api/diagnostics"
OPENAPI = "GET /openapi.json"

OF_CALL = "?call_id=call-1"
#: Every door that reads JSON, with the query it wants.
READS_JSON = {
    **dict.fromkeys((CALL_HOOK, SIMPLE, DIAL, STATUS, REFER, DISPATCH, TRANSFER, REPORT), ""),
    **dict.fromkeys((TRANSFERRED, WAIT, QUEUE), OF_CALL),
}

NO_JSON: dict[str, tuple[bytes, Mapping[str, str], int, str]] = {
    "half of it": (b"{", JSON, 400, "not_json"),
    "white space": (b" ", JSON, 400, "not_json"),
    "not UTF-8": (b'{"call_sid": "\xff"}', JSON, 400, "not_json"),
    "UTF-16": ('{"call_sid": "1"}'.encode("utf-16"), JSON, 400, "not_json"),
    "NaN": (b'{"call_sid": NaN}', JSON, 400, "not_json"),
    "Infinity": (b'{"call_sid": -Infinity}', JSON, 400, "not_json"),
    "a number without end": (b'{"call_sid": 1e999}', JSON, 400, "not_json"),
    "5000 digits": (b'{"call_sid": ' + b"1" * 5000 + b"}", JSON, 400, "not_json"),
    "nested 65 deep": (b'{"a":' + b"[" * 64 + b"]" * 64 + b"}", JSON, 400, "not_json"),
    "nested 100,000 deep": (b"[" * 100_000, JSON, 400, "not_json"),
    "an array": (b'[{"call_sid": "1"}]', JSON, 422, "invalid"),
    "a number": (b"1", JSON, 422, "invalid"),
    "null": (b"null", JSON, 422, "invalid"),
    "2 MiB": (b'{"call_sid": "' + b"1" * 2_097_152 + b'"}', JSON, 413, "too_large"),
    "a form": (
        b"call_sid=1",
        {"Content-Type": "application/x-www-form-urlencoded"},
        415,
        "unsupported_media_type",
    ),
    "plain text": (b"{}", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    "no type": (b"{}", {"Content-Type": ";;;"}, 415, "unsupported_media_type"),
}

#: Jambonz: its fields that are missing or of the wrong kind. All are 422 `invalid`.
HOOKS: list[tuple[str, object, str]] = [
    *((door, {}, "call_sid") for door in (CALL_HOOK, SIMPLE, DIAL, STATUS, REFER)),
    *((door + OF_CALL, {}, "call_sid") for door in (TRANSFERRED, QUEUE)),
    (CALL_HOOK, {"call_sid": ""}, "call_sid"),
    (CALL_HOOK, {"call_sid": "1" * 129}, "call_sid"),
    (CALL_HOOK, {"call_sid": {"a": 1}}, "call_sid"),
    (CALL_HOOK, {"call_sid": "1", "from": []}, "from"),
    (CALL_HOOK, {"call_sid": "1", "to": 61491570156}, "to"),
    (CALL_HOOK, {"call_sid": "1", "sip": "INVITE"}, "sip"),
    (CALL_HOOK, {"call_sid": "1", "sip": {"headers": [1]}}, "sip"),
    (CALL_HOOK, {"call_sid": "1", "env_vars": [1]}, "env_vars"),
    (SIMPLE, {"call_sid": "1", "to": {}}, "to"),
    (DIAL, {**LEG, "call_status": {}}, "call_status"),
    (DIAL, {**LEG, "dial_call_status": 1}, "dial_call_status"),
    (DIAL + "?fallback=x", LEG, "fallback"),
    (DIAL + "?fallback=-1", LEG, "fallback"),
    (DIAL + "?fallback=101", LEG, "fallback"),
    (DIAL + "?fallback=1&fallback=2", LEG, "fallback"),
    (STATUS, {**LEG, "call_status": ""}, "call_status"),
    (STATUS, {**LEG, "parent_call_sid": []}, "parent_call_sid"),
    (REFER, LEG, "refer_details"),
    (REFER, {**LEG, "refer_details": None}, "refer_details"),
    (REFER, {**LEG, "refer_details": "tel:+61491570156"}, "refer_details"),
    (REFER, {**LEG, "refer_details": {"sip_refer_to": 5}}, "refer_details"),
    (TRANSFERRED, LEG, "call_id"),
    (TRANSFERRED + "?call_id=" + "1" * 129, LEG, "call_id"),
    (WAIT, {}, "call_id"),
    (QUEUE + "?call_id=", LEG, "call_id"),
    (QUEUE + OF_CALL, {**LEG, "queue_result": 1}, "queue_result"),
]

#: n8n: the fields of a dispatch. All are 422 `invalid`.
ORDERS: list[tuple[object, str]] = [
    ({"account_code": "1"}, "destination"),
    ({"destination": "61491570156"}, "account_code"),
    ({**ORDER, "destination": 61491570156}, "destination"),
    ({**ORDER, "destination": "+1 555 0100"}, "destination"),
    ({**ORDER, "destination": "sip:a@b;transport=tcp"}, "destination"),
    ({**ORDER, "destination": "tel:٣٣٣"}, "destination"),
    ({**ORDER, "account_code": "a\r\nX-Injected: 1"}, "account_code"),
    ({**ORDER, "account_code": "a\x00"}, "account_code"),
    ({**ORDER, "account_code": "a" * 129}, "account_code"),
    ({**ORDER, "transfer_target": "the boss"}, "transfer_target"),
    ({**ORDER, "caller_id": '"><sip:x>'}, "caller_id"),
    ({**ORDER, "caller_number": ""}, "caller_number"),
    ({**ORDER, "caller_name": None}, "caller_name"),
    ({**ORDER, "metadata": []}, "metadata"),
    ({**ORDER, "metadata": {"gateway": 1}}, "metadata"),
    ({**ORDER, "metadata": {"caller_id": 1}}, "metadata"),
    ({**ORDER, "agent_name": "a" * 129}, "agent_name"),
    ({**ORDER, "session_options": "fast"}, "session_options"),
    ({**ORDER, "max_call_duration": 9}, "max_call_duration"),
    ({**ORDER, "max_call_duration": 10**300}, "max_call_duration"),
    ({**ORDER, "ringing_timeout": 121}, "ringing_timeout"),
    ({**ORDER, "ringing_timeout": True}, "ringing_timeout"),
    ({**ORDER, "record_call": "perhaps"}, "record_call"),
    ({**ORDER, "wait": "for ever"}, "wait"),
    ({**ORDER, "callback_url": "ftp://example.com/"}, "callback_url"),
    ({**ORDER, "callback_url": "http://[::1"}, "callback_url"),
    ({**ORDER, "callback_url": "http://127.0.0.1/"}, "callback_url"),
    ({**ORDER, "callback_url": "http://a:99999/"}, "callback_url"),
    ({**ORDER, "callback_events": ["call_lost"]}, "callback_events"),
    ({**ORDER, "idempotency_key": "k" * 256}, "idempotency_key"),
    ({**ORDER, "destnation": "61491570156"}, "destnation"),
]

#: What is no position in a list; the last one has half a surrogate pair in it.
CURSORS = [
    *("abc", "%ff"),
    *(
        base64.urlsafe_b64encode(text).decode()
        for text in (b"[]", b'[1.5, "a"]', b'["a", 1]', b'[-1, "a"]', b"[" * 5000, b"{}", b"\xff")
    ),
    base64.urlsafe_b64encode(rb'[1, "\ud800"]').decode(),
]
#: Ops: queries, ids and bodies.
ASKED: list[tuple[str, object, int, str, str]] = [
    (CALLS + "?limit=0", None, 422, "invalid", "limit"),
    (CALLS + "?limit=201", None, 422, "invalid", "limit"),
    (CALLS + "?limit=many", None, 422, "invalid", "limit"),
    (CALLS + "?limit=" + "1" * 5000, None, 422, "invalid", "limit"),
    (CALLS + "?limit=1&limit=2", None, 422, "invalid", "limit"),
    (CALLS + "?status=gone", None, 422, "invalid", "status"),
    (CALLS + "?status=%ff", None, 422, "invalid", "status"),
    (CALLS + "?direction=up", None, 422, "invalid", "direction"),
    (CALLS + "?include=all", None, 422, "invalid", "include"),
    (CALLS + "?since=yesterday", None, 422, "invalid", "since"),
    (CALLS + "?since=", None, 422, "invalid", "since"),
    (CALLS + "?since=" + "1" * 5000, None, 422, "invalid", "since"),
    (CALLS + "?since=99999999999999999999", None, 422, "invalid", "since"),
    *((CALLS + f"?cursor={cursor}", None, 422, "invalid", "cursor") for cursor in CURSORS),
    (CALLS + "?form_number=1", None, 422, "invalid", "form_number"),
    (CALL.replace("{call_id}", "call-x"), None, 404, "not_found", ""),
    (HANG_UP.replace("{call_id}", "call-x"), None, 404, "not_found", ""),
    *(
        (f"GET /livekit-api/calls/{call_id}", None, 404, "not_found", "")
        for call_id in ("%ff", "%00", "%2F", "..%2F", "%", "a%20b", "%F0%9F%98%80", "x" * 4000)
    ),
    (TRANSFER.replace("{call_id}", "call-x"), {"target": "1"}, 404, "not_found", ""),
    (TRANSFER, None, 422, "invalid", "target"),
    (TRANSFER, {"target": ""}, 422, "invalid", "target"),
    (TRANSFER, {"target": "the boss"}, 422, "invalid", "target"),
    (TRANSFER, {"target": ["+61491570156"]}, 422, "invalid", "target"),
    (TRANSFER, {"target": "1" * 301}, 422, "invalid", "target"),
    (TRANSFER, {"to": "+61491570156"}, 422, "invalid", "to"),
    (TRANSFER, {"target": "+61491570156"}, 403, "transfer_not_allowed", ""),
    (TRANSFER, {"target": "+15550100"}, 409, "not_ongoing", ""),
    (RETRY, None, 404, "not_found", ""),
    (RETRY.replace("{delivery_id}", "%ff"), None, 404, "not_found", ""),
]

#: The agent worker: the fields of a report. All are 422 `invalid`.
REPORTS: list[tuple[object, str]] = [
    ({"job_id": "AJ_1"}, "event"),
    ({"event": "agent_ready"}, "job_id"),
    ({"event": "agent_bored", "job_id": "AJ_1"}, "event"),
    ({"event": "agent_ready", "job_id": ""}, "job_id"),
    ({"event": "agent_ready", "job_id": "j" * 129}, "job_id"),
    ({"event": "agent_ready", "job_id": "AJ_1", "detail": 5}, "detail"),
    ({"event": "agent_ended", "job_id": "AJ_1", "report": "fine"}, "report"),
    ({"event": "agent_ready", "job_id": "AJ_1", "call_id": "call-1"}, "call_id"),
]

#: LiveKit: what is signed by it, and no webhook event. All are 400 `not_an_event`.
EVENTS = [
    b"",
    b"{",
    b"\xff",
    b"[]",
    b"null",
    b"1",
    b"{}",
    b'{"event": 1}',
    b'{"event": "\\ud800"}',
    b'{"event": "x", "createdAt": 1e999}',
    b'{"event": "x", "createdAt": NaN}',
    b'{"event": "x", "room": {"name": 1}}',
    b'{"event": "x", "participant": {"kind": 99999999999}}',
    b'{"event": "x", "participant": {"attributes": {"a": null}}}',
    b'{"event": "x", "event": "y"}',
    b'{"event": "x", "y": ' + b"[" * 100_000,
]

#: Who is asked for a proof, and with what code wrong ones are refused. All are 401.
UNPROVEN = {
    "unauthorized": (CALLS, CALL, HANG_UP, TRANSFER, RETRY, DISPATCH, DIAGNOSTICS, OPENAPI),
    "bad_signature": (CALL_HOOK, SIMPLE, DIAL, STATUS, REFER, TRANSFERRED, WAIT, QUEUE),
    "bad_token": (REPORT, WEBHOOK),
}
WRONG_PROOFS: dict[str, list[dict[str, str]]] = {
    "unauthorized": [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "guess"},
        {"X-API-Key": "ü"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer guess"},
        {"Authorization": f"Basic {READ_KEY}"},
    ],
    "bad_signature": [
        {},
        {"Jambonz-Signature": "guess"},
        {"Jambonz-Signature": "t=1,v1=ü"},
        {"Jambonz-Signature": "t=" + "9" * 5000 + ",v1=00"},
        {"Jambonz-Signature": "t=٣,v1=00"},
    ],
    "bad_token": [
        {},
        {"Authorization": "Bearer guess"},
        {"Authorization": "ü.ü.ü"},
        {"Authorization": "eyJhbGciOiJub25lIn0.e30."},  # alg: none
    ],
}

#: Doors that read nothing, and so answer as ever.
READS_NOTHING = ["GET /healthz", "GET /readyz", "OPTIONS /livekit-api"]


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    """Its watch stands still, so that nobody but the visitor asks LiveKit."""
    return await start_gateway(watch={"interval": 60}, transfer={"allowed": ["+1555*"]})


@pytest.fixture
async def call_id(gateway: Client) -> str:
    """A call that is there, for bad input to leave alone."""
    (dial,) = await jambonz_for(gateway).call_arrives()
    registered: str = dial["headers"]["X-Call-Id"]
    return registered


class Visitor:
    """Knocks at doors, `proven` or not, and sees that nothing came of it."""

    def __init__(self, gateway: Client, livekit: FakeLiveKit, call_id: str) -> None:
        self._gateway = gateway
        self._livekit = livekit
        self._call_id = call_id

    async def refused(
        self, door: str, body: bytes, headers: Mapping[str, str], *, proven: bool = True
    ) -> tuple[int, str, list[str]]:
        """The status, the code and the fields it names."""
        before = await self._state()
        status, error = await self.knock(door, body, headers, proven=proven)
        assert await self._state() == before
        assert error["message"]
        return status, error["error"], list(error.get("details", {}))

    async def knock(
        self, door: str, body: bytes, headers: Mapping[str, str], *, proven: bool = True
    ) -> tuple[int, Any]:
        method, _, path = door.partition(" ")
        path = path.replace("{call_id}", self._call_id).replace("{delivery_id}", "dlv_x")
        proof = proof_for(path.partition("?")[0], body) if proven else {}
        async with self._gateway.session.request(
            method,
            URL(str(self._gateway.make_url("/")).rstrip("/") + path, encoded=True),
            data=io.BytesIO(body),
            headers={**proof, **headers},
        ) as answer:
            return answer.status, await answer.json()

    async def _state(self) -> object:
        calls = (await listed(self._gateway, "?include=ended"))["calls"]
        return calls, await shown(self._gateway, self._call_id), len(self._livekit.requests)


@pytest.fixture
def visitor(gateway: Client, fake_livekit: FakeLiveKit, call_id: str) -> Visitor:
    return Visitor(gateway, fake_livekit, call_id)


@pytest.mark.parametrize("case", NO_JSON)
@pytest.mark.parametrize("door", READS_JSON)
async def test_what_is_no_json_object(visitor: Visitor, door: str, case: str) -> None:
    body, headers, status, code = NO_JSON[case]
    answered = await visitor.refused(door + READS_JSON[door], body, headers)
    assert answered[:2] == (status, code)


@pytest.mark.parametrize("door", [door for door in READS_JSON if door != TRANSFER])
async def test_no_body(visitor: Visitor, door: str) -> None:
    answered = await visitor.refused(door + READS_JSON[door], b"", JSON)
    assert answered == (400, "not_json", [])


@pytest.mark.parametrize(("door", "content", "field"), HOOKS)
async def test_hooks(visitor: Visitor, door: str, content: object, field: str) -> None:
    answered = await visitor.refused(door, _json(content), JSON)
    assert answered[:2] == (422, "invalid")
    assert field in answered[2]


@pytest.mark.parametrize(("content", "field"), ORDERS)
async def test_dispatches(visitor: Visitor, content: object, field: str) -> None:
    answered = await visitor.refused(DISPATCH, _json(content), JSON)
    assert answered == (422, "invalid", [field])


async def test_an_idempotency_key_that_is_too_long(visitor: Visitor) -> None:
    answered = await visitor.refused(DISPATCH, _json(ORDER), {**JSON, "Idempotency-Key": "k" * 256})
    assert answered[:2] == (422, "invalid")


@pytest.mark.parametrize("asked", ASKED)
async def test_what_ops_ask(visitor: Visitor, asked: tuple[str, object, int, str, str]) -> None:
    door, content, status, code, field = asked
    body = b"" if content is None else _json(content)
    answered = await visitor.refused(door, body, JSON)
    assert answered == (status, code, [field] if field else [])


@pytest.mark.parametrize(("content", "field"), REPORTS)
async def test_reports(visitor: Visitor, content: object, field: str) -> None:
    answered = await visitor.refused(REPORT, _json(content), JSON)
    assert answered == (422, "invalid", [field])


@pytest.mark.parametrize("body", EVENTS, ids=range(len(EVENTS)))
async def test_webhooks(visitor: Visitor, body: bytes) -> None:
    headers = {"Content-Type": "application/webhook+json"}
    assert await visitor.refused(WEBHOOK, body, headers) == (400, "not_an_event", [])


@pytest.mark.parametrize(
    ("code", "door", "headers"),
    [
        (code, door, headers)
        for code, doors in UNPROVEN.items()
        for door in doors
        for headers in WRONG_PROOFS[code]
    ],
)
async def test_proofs(visitor: Visitor, code: str, door: str, headers: dict[str, str]) -> None:
    answered = await visitor.refused(door, b"{}", {**JSON, **headers}, proven=False)
    assert answered == (401, code, [])


@pytest.mark.parametrize("door", [DISPATCH, HANG_UP, TRANSFER, RETRY])
async def test_a_key_that_may_only_read(visitor: Visitor, door: str) -> None:
    headers = {**JSON, "X-API-Key": READ_KEY}
    answered = await visitor.refused(door, _json(ORDER), headers, proven=False)
    assert answered == (403, "forbidden", [])


@pytest.mark.parametrize("door", READS_NOTHING)
async def test_doors_that_read_nothing(visitor: Visitor, door: str) -> None:
    headers = {"Content-Type": ";;;", "Authorization": "ü", "X-API-Key": "ü"}
    status, _ = await visitor.knock(f"{door}?%ff=%00", b"\xff{", headers, proven=False)
    assert status == 200


def test_every_door_is_in_a_table() -> None:
    tabled = {
        *(door for door in READS_JSON),
        *(door.partition("?")[0] for door, *_ in HOOKS),
        *(door.partition("?")[0] for door, *_ in ASKED),
        *(door for doors in UNPROVEN.values() for door in doors),
        *READS_NOTHING,
    }
    there = {
        f"{route.method} {route.resource.canonical}"
        for route in create_app(config_for("ws://127.0.0.1")).router.routes()
        if route.resource and route.method != "HEAD"
    }
    assert there <= tabled


@pytest.mark.parametrize(
    ("door", "status", "code"),
    [
        ("GET /nowhere", 404, "not_found"),
        ("GET /livekit-api/calls/{x}", 404, "not_found"),
        ("GET /livekit-api", 405, "method_not_allowed"),
        ("DELETE /livekit-api/calls", 405, "method_not_allowed"),
        ("GET /dispatch", 405, "method_not_allowed"),
    ],
)
async def test_doors_that_are_not_there(
    visitor: Visitor, door: str, status: int, code: str
) -> None:
    assert await visitor.refused(door, b"", {}) == (status, code, [])


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [
        (b"GET /livekit-api/calls", b"X-API-Key: \xff", b" 401 "),
        (b"GET /livekit-api/calls", b"Authorization: Bearer \xff", b" 401 "),
        (b"POST /livekit-api", b"Jambonz-Signature: t=1,v1=\xff", b" 401 "),
        (b"POST /livekit-api", b"Content-Encoding: gzip", b" 400 "),
        (b"GET /livekit-api/calls/\xff", b"X-API-Key: a", b" 400 "),
        (b"POST /livekit-api", b"Expect: what you like", b" 417 "),
    ],
)
async def test_headers_that_no_client_sends(
    gateway: Client, request_line: bytes, header: bytes, status: bytes
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    headers = b"Host: a\r\nContent-Length: 2\r\n" + header
    writer.write(request_line + b" HTTP/1.1\r\n" + headers + b"\r\n\r\n{}")
    assert status in await reader.readline()
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("value", ["two", None, -1, 99, 1000, [], {"a": 1}, 486.5, "1" * 5000])
async def test_an_odd_sip_status_does_not_lose_the_hook(visitor: Visitor, value: object) -> None:
    content = {**LEG, "dial_sip_status": value}
    status, verbs = await visitor.knock(DIAL, _json(content), JSON)
    assert status == 200
    assert verbs[0]["status"] == 503


@pytest.mark.parametrize("text", [r"\ud800", r"\udfff and more", r"\uDC00\ud800", r"\u0000"])
async def test_an_odd_text_does_not_lose_the_call(visitor: Visitor, text: str) -> None:
    """Half a surrogate pair is what is left of a character where a text was cut."""
    fields = ("call_sid", "from", "to", "caller_name")
    hook = {**dict.fromkeys(fields, "TEXT"), "env_vars": {"AGENT_NAME": "TEXT", "TEXT": "TEXT"}}
    body = json.dumps(hook).replace("TEXT", text).encode()
    status, verbs = await visitor.knock(CALL_HOOK, body, JSON)
    assert status == 200
    assert verbs[0]["verb"] == "dial"


async def test_a_whole_surrogate_pair_is_a_character(visitor: Visitor, gateway: Client) -> None:
    body = rb'{"call_sid": "2", "from": "\ud83d\ude00 \ud800"}'
    _, verbs = await visitor.knock(CALL_HOOK, body, JSON)
    assert (await shown(gateway, verbs[0]["headers"]["X-Call-Id"]))["from_number"] == "😀 ?"


async def test_a_byte_order_mark_does_no_harm(visitor: Visitor) -> None:
    status, _ = await visitor.knock(CALL_HOOK, b"\xef\xbb\xbf" + _json({"call_sid": "2"}), JSON)
    assert status == 200


@pytest.mark.parametrize("details", [{}, {"sip_refer_to": ""}, {"sip_refer_to": "the boss"}])
async def test_a_refer_hook_without_a_target(visitor: Visitor, details: object) -> None:
    # Never an empty 200: LiveKit would wait for its REFER to its time-out.
    answered = await visitor.refused(REFER, _json({**LEG, "refer_details": details}), JSON)
    assert answered[:2] == (404, "not_found")


def _json(content: object) -> bytes:
    return json.dumps(content).encode()
