"""Bad input for every endpoint and the error it gets: a table for each client group."""

import base64
from collections.abc import Mapping

from gateway.api.routes import ENDPOINTS
from gateway.errors import ErrorCode
from tests.conftest import READ_KEY

JSON = {"Content-Type": "application/json"}
LEG = {"call_sid": "1", "call_status": "trying"}
DISPATCH_BODY = {"destination": "61491570156", "account_code": "em-tech-01"}

CALL_HOOK = "POST /livekit-api"
LEGACY = "POST /livekit-simple"
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

OF_CALL = "?call_id=call-1"
#: Every endpoint that reads JSON, with the query it requires.
READS_JSON = {
    **dict.fromkeys((CALL_HOOK, LEGACY, DIAL, STATUS, REFER, DISPATCH, TRANSFER, REPORT), ""),
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
    *((endpoint, {}, "call_sid") for endpoint in (CALL_HOOK, LEGACY, DIAL, STATUS, REFER)),
    *((endpoint + OF_CALL, {}, "call_sid") for endpoint in (TRANSFERRED, QUEUE)),
    (CALL_HOOK, {"call_sid": ""}, "call_sid"),
    (CALL_HOOK, {"call_sid": "1" * 129}, "call_sid"),
    (CALL_HOOK, {"call_sid": {"a": 1}}, "call_sid"),
    (DIAL, {**LEG, "call_status": {}}, "call_status"),
    (DIAL, {**LEG, "call_status": []}, "call_status"),
    (DIAL + "?fallback=x", LEG, "fallback"),
    (DIAL + "?fallback=-1", LEG, "fallback"),
    (DIAL + "?fallback=101", LEG, "fallback"),
    (DIAL + "?fallback=1&fallback=2", LEG, "fallback"),
    (STATUS, {**LEG, "call_status": ""}, "call_status"),
    (TRANSFERRED, LEG, "call_id"),
    (TRANSFERRED + "?call_id=" + "1" * 129, LEG, "call_id"),
    (WAIT, {}, "call_id"),
    (QUEUE + "?call_id=", LEG, "call_id"),
    (QUEUE + OF_CALL, {**LEG, "call_status": False}, "call_status"),
]

#: n8n: the fields of a dispatch. All are 422 `invalid`.
DISPATCHES: list[tuple[object, str]] = [
    ({"account_code": "1"}, "destination"),
    ({"destination": "61491570156"}, "account_code"),
    ({**DISPATCH_BODY, "destination": 61491570156.5}, "destination"),
    ({**DISPATCH_BODY, "destination": "+1 555 0100"}, "destination"),
    ({**DISPATCH_BODY, "destination": "sip:a@b;transport=tcp"}, "destination"),
    ({**DISPATCH_BODY, "destination": "tel:٣٣٣"}, "destination"),
    ({**DISPATCH_BODY, "account_code": "a\r\nX-Injected: 1"}, "account_code"),
    ({**DISPATCH_BODY, "account_code": "a\x00"}, "account_code"),
    ({**DISPATCH_BODY, "account_code": "a" * 129}, "account_code"),
    ({**DISPATCH_BODY, "transfer_target": "the boss"}, "transfer_target"),
    ({**DISPATCH_BODY, "caller_id": '"><sip:x>'}, "caller_id"),
    ({**DISPATCH_BODY, "caller_number": "a;b"}, "caller_number"),
    ({**DISPATCH_BODY, "caller_name": "a\\b"}, "caller_name"),
    ({**DISPATCH_BODY, "metadata": []}, "metadata"),
    ({**DISPATCH_BODY, "metadata": {"gateway": 1}}, "metadata"),
    ({**DISPATCH_BODY, "metadata": {"caller_id": 1}}, "metadata"),
    ({**DISPATCH_BODY, "agent_name": "a" * 129}, "agent_name"),
    ({**DISPATCH_BODY, "session_options": "fast"}, "session_options"),
    ({**DISPATCH_BODY, "max_call_duration": 9}, "max_call_duration"),
    ({**DISPATCH_BODY, "max_call_duration": 10**300}, "max_call_duration"),
    ({**DISPATCH_BODY, "ringing_timeout": 81}, "ringing_timeout"),
    ({**DISPATCH_BODY, "ringing_timeout": True}, "ringing_timeout"),
    ({**DISPATCH_BODY, "record_call": "perhaps"}, "record_call"),
    ({**DISPATCH_BODY, "wait": "for ever"}, "wait"),
    ({**DISPATCH_BODY, "callback_url": "ftp://example.com/"}, "callback_url"),
    ({**DISPATCH_BODY, "callback_url": "http://[::1"}, "callback_url"),
    ({**DISPATCH_BODY, "callback_url": "http://127.0.0.1/"}, "callback_url"),
    ({**DISPATCH_BODY, "callback_url": "http://a:99999/"}, "callback_url"),
    ({**DISPATCH_BODY, "callback_events": ["call_lost"]}, "callback_events"),
    ({**DISPATCH_BODY, "idempotency_key": "k" * 256}, "idempotency_key"),
    ({**DISPATCH_BODY, "destnation": "61491570156"}, "destnation"),
]

#: What is no position in a list; the last one has half a surrogate pair in it.
CURSORS = [
    *("abc", "%ff"),
    *(
        base64.urlsafe_b64encode(text).decode()
        for text in (
            *(b"[]", b'[1.5, "a"]', b'["a", 1]', b'[-1, "a"]', b"[" * 5000, b"{}", b"\xff"),
            *(b'[true, "a"]', b'[1, ""]', b'[1, ["a"]]', b'[1, "a", 2]', b'{"1": 1, "2": 2}'),
            *(b"null", b'"ab"', b'[1, "' + b"a" * 129 + b'"]'),
        )
    ),
    base64.urlsafe_b64encode(rb'[1, "\ud800"]').decode(),
]
#: Ops: queries, ids and bodies.
OPS_REQUESTS: list[tuple[str, object, int, str, str]] = [
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
    (CALLS + "?since=" + "1" * 5000, None, 422, "invalid", "since"),
    (CALLS + "?since=99999999999999999999", None, 422, "invalid", "since"),
    *((CALLS + f"?cursor={cursor}", None, 422, "invalid", "cursor") for cursor in CURSORS),
    (CALLS + "?form_number=1", None, 422, "invalid", "form_number"),
    (CALLS + "?until=tomorrow", None, 422, "invalid", "until"),
    (CALLS + "?q=12", None, 422, "invalid", "q"),
    (CALLS + "?q=%2B1%202", None, 422, "invalid", "q"),
    (CALLS + "?q=" + "1" * 65, None, 422, "invalid", "q"),
    ("GET /livekit-api/export.csv?limit=1", None, 422, "invalid", "limit"),
    ("GET /livekit-api/export.jsonl?since=yesterday", None, 422, "invalid", "since"),
    ("GET /livekit-api/events?since=1", None, 422, "invalid", "since"),
    ("GET /livekit-api/events?after=1&after=2", None, 422, "invalid", "after"),
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

#: The endpoints by the code that wrong credentials are refused with. All are 401.
UNAUTHENTICATED = {
    code: tuple(
        f"{endpoint.method} {endpoint.path}"
        for endpoint in ENDPOINTS
        if endpoint.authentication and code is endpoint.authentication.errors[0]
    )
    for code in (
        ErrorCode.UNAUTHORIZED,
        ErrorCode.BAD_SIGNATURE,
        ErrorCode.BAD_BASIC_AUTH,
        ErrorCode.BAD_TOKEN,
    )
}
WRONG_CREDENTIALS: dict[str, list[dict[str, str]]] = {
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
    "bad_basic_auth": [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic ü"},
        {"Authorization": "Basic amFtYm9uejpndWVzcw=="},
    ],
    "bad_token": [
        {},
        {"Authorization": "Bearer guess"},
        {"Authorization": "ü.ü.ü"},
        {"Authorization": "eyJhbGciOiJub25lIn0.e30."},  # alg: none
    ],
}

#: Endpoints that are open to everyone: they read nothing of a request.
OPEN = [f"{each.method} {each.path}" for each in ENDPOINTS if each.authentication is None]
