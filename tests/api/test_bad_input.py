"""Bad input gets a clear error: never a 500, never half a call."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient, TestServer
from yarl import URL

from gateway.app import create_app
from gateway.web.routes import PAGES
from tests.api.bad_input import (
    CALL_HOOK,
    DIAL,
    DISPATCH,
    DISPATCH_BODY,
    DISPATCHES,
    EVENTS,
    HANG_UP,
    HOOKS,
    JSON,
    LEG,
    NO_JSON,
    OPEN,
    OPS_REQUESTS,
    READS_JSON,
    REFER,
    REPORT,
    REPORTS,
    RETRY,
    TRANSFER,
    UNAUTHENTICATED,
    WEBHOOK,
    WRONG_CREDENTIALS,
)
from tests.api.clients import credentials_for
from tests.conftest import (
    READ_KEY,
    Client,
    config_for,
    get_call,
    jambonz_for,
    list_calls,
)
from tests.fakes.livekit import FakeLiveKit

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def livekit() -> AsyncIterator[FakeLiveKit]:
    async with FakeLiveKit().serving() as livekit:
        yield livekit


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(livekit: FakeLiveKit) -> AsyncIterator[Client]:
    """For all these tests, for bad input changes nothing; its deadline loop sends no requests."""
    config = config_for(livekit.url, monitor={"interval": 60}, transfer={"allowed": ["+1555*"]})
    async with TestClient(TestServer(create_app(config))) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def call_id(gateway: Client) -> str:
    """An active call, which bad input must not change."""
    (dial,) = await jambonz_for(gateway).call_arrives()
    registered: str = dial["headers"]["X-Call-Id"]
    return registered


class Sender:
    """Sends bad requests, `authenticated` or not, and checks that they change nothing."""

    def __init__(self, gateway: Client, livekit: FakeLiveKit, call_id: str) -> None:
        self._gateway = gateway
        self._livekit = livekit
        self._call_id = call_id

    async def refused(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], *, authenticated: bool = True
    ) -> tuple[int, str, list[str]]:
        """The status, the error code and the fields that `details` names."""
        before = await self._state()
        status, error = await self.send(endpoint, body, headers, authenticated=authenticated)
        assert await self._state() == before
        assert error["message"]
        return status, error["error"], list(error.get("details", {}))

    async def send(
        self, endpoint: str, body: bytes, headers: Mapping[str, str], *, authenticated: bool = True
    ) -> tuple[int, Any]:
        method, _, path = endpoint.partition(" ")
        path = path.replace("{call_id}", self._call_id).replace("{delivery_id}", "dlv_x")
        credentials = credentials_for(path.partition("?")[0], body) if authenticated else {}
        async with self._gateway.session.request(
            method,
            URL(str(self._gateway.make_url("/")).rstrip("/") + path, encoded=True),
            data=io.BytesIO(body),
            headers={**credentials, **headers},
        ) as answer:
            return answer.status, await answer.json()

    async def _state(self) -> object:
        calls = (await list_calls(self._gateway, "?include=ended"))["calls"]
        return calls, await get_call(self._gateway, self._call_id), len(self._livekit.requests)


@pytest.fixture
def client(gateway: Client, livekit: FakeLiveKit, call_id: str) -> Sender:
    return Sender(gateway, livekit, call_id)


@pytest.mark.parametrize("case", NO_JSON)
@pytest.mark.parametrize("endpoint", READS_JSON)
async def test_a_body_that_is_no_json_object_is_refused(
    client: Sender, endpoint: str, case: str
) -> None:
    body, headers, status, code = NO_JSON[case]
    answered = await client.refused(endpoint + READS_JSON[endpoint], body, headers)
    assert answered[:2] == (status, code)


@pytest.mark.parametrize("endpoint", [endpoint for endpoint in READS_JSON if endpoint != TRANSFER])
async def test_a_missing_body_is_refused(client: Sender, endpoint: str) -> None:
    answered = await client.refused(endpoint + READS_JSON[endpoint], b"", JSON)
    assert answered == (400, "not_json", [])


@pytest.mark.parametrize(("endpoint", "content", "field"), HOOKS)
async def test_a_bad_hook_is_refused(
    client: Sender, endpoint: str, content: object, field: str
) -> None:
    answered = await client.refused(endpoint, _json(content), JSON)
    assert answered[:2] == (422, "invalid")
    assert field in answered[2]


@pytest.mark.parametrize(("content", "field"), DISPATCHES)
async def test_a_bad_dispatch_is_refused(client: Sender, content: object, field: str) -> None:
    answered = await client.refused(DISPATCH, _json(content), JSON)
    assert answered == (422, "invalid", [field])


async def test_an_idempotency_key_that_is_too_long_is_refused(client: Sender) -> None:
    answered = await client.refused(
        DISPATCH, _json(DISPATCH_BODY), {**JSON, "Idempotency-Key": "k" * 256}
    )
    assert answered[:2] == (422, "invalid")


@pytest.mark.parametrize("case", OPS_REQUESTS)
async def test_a_bad_ops_request_is_refused(
    client: Sender, case: tuple[str, object, int, str, str]
) -> None:
    endpoint, content, status, code, field = case
    body = b"" if content is None else _json(content)
    answered = await client.refused(endpoint, body, JSON)
    assert answered == (status, code, [field] if field else [])


@pytest.mark.parametrize(("content", "field"), REPORTS)
async def test_a_bad_report_is_refused(client: Sender, content: object, field: str) -> None:
    answered = await client.refused(REPORT, _json(content), JSON)
    assert answered == (422, "invalid", [field])


@pytest.mark.parametrize("body", EVENTS, ids=range(len(EVENTS)))
async def test_a_bad_webhook_is_refused(client: Sender, body: bytes) -> None:
    headers = {"Content-Type": "application/webhook+json"}
    assert await client.refused(WEBHOOK, body, headers) == (400, "not_an_event", [])


@pytest.mark.parametrize(
    ("code", "endpoint", "headers"),
    [
        (code, endpoint, headers)
        for code, endpoints in UNAUTHENTICATED.items()
        for endpoint in endpoints
        for headers in WRONG_CREDENTIALS[code]
    ],
)
async def test_wrong_credentials_are_refused(
    client: Sender, code: str, endpoint: str, headers: dict[str, str]
) -> None:
    answered = await client.refused(endpoint, b"{}", {**JSON, **headers}, authenticated=False)
    assert answered == (401, code, [])


@pytest.mark.parametrize("endpoint", [DISPATCH, HANG_UP, TRANSFER, RETRY])
async def test_a_key_that_may_only_read_is_refused(client: Sender, endpoint: str) -> None:
    headers = {**JSON, "X-API-Key": READ_KEY}
    answered = await client.refused(endpoint, _json(DISPATCH_BODY), headers, authenticated=False)
    assert answered == (403, "forbidden", [])


@pytest.mark.parametrize("endpoint", OPEN)
async def test_open_endpoints_ignore_what_they_get(client: Sender, endpoint: str) -> None:
    headers = {"Content-Type": ";;;", "Authorization": "ü", "X-API-Key": "ü"}
    status, _ = await client.send(f"{endpoint}?%ff=%00", b"\xff{", headers, authenticated=False)
    assert status == 200


async def test_every_endpoint_is_in_a_table() -> None:
    tabled = {
        *(endpoint for endpoint in READS_JSON),
        *(endpoint.partition("?")[0] for endpoint, *_ in HOOKS),
        *(endpoint.partition("?")[0] for endpoint, *_ in OPS_REQUESTS),
        *(endpoint for endpoints in UNAUTHENTICATED.values() for endpoint in endpoints),
        *OPEN,
    }
    there = {
        f"{route.method} {route.resource.canonical}"
        for route in create_app(config_for("ws://127.0.0.1")).router.routes()
        if route.resource and route.method != "HEAD"
    }
    pages = {f"{page.method} {page.path}" for page in PAGES}  # tests/web
    assert there - pages <= tabled


@pytest.mark.parametrize(
    ("endpoint", "status", "code"),
    [
        ("GET /nowhere", 404, "not_found"),
        ("GET /livekit-api/calls/{x}", 404, "not_found"),
        ("PUT /livekit-api", 405, "method_not_allowed"),
        ("DELETE /livekit-api/calls", 405, "method_not_allowed"),
        ("GET /dispatch", 405, "method_not_allowed"),
    ],
)
async def test_unknown_paths_and_methods_are_refused(
    client: Sender, endpoint: str, status: int, code: str
) -> None:
    assert await client.refused(endpoint, b"", {}) == (status, code, [])


@pytest.mark.parametrize(
    ("request_line", "header", "status"),
    [
        (b"GET /livekit-api/calls", b"X-API-Key: \xff", b" 401 "),
        (b"GET /livekit-api/calls", b"Authorization: Bearer \xff", b" 401 "),
        (b"POST /livekit-api", b"Jambonz-Signature: t=1,v1=\xff", b" 401 "),
        (b"POST /livekit-api", b"Content-Encoding: gzip", b" 401 "),
        (b"POST /dispatch", b"Content-Encoding: gzip\r\nX-API-Key: dispatch-secret", b" 400 "),
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
async def test_an_odd_sip_status_does_not_lose_the_hook(client: Sender, value: object) -> None:
    content = {**LEG, "dial_sip_status": value}
    status, verbs = await client.send(DIAL, _json(content), JSON)
    assert status == 200
    assert verbs[0]["status"] == 503


@pytest.mark.parametrize("text", [r"\ud800", r"\udfff and more", r"\uDC00\ud800", r"\u0000"])
async def test_an_odd_text_does_not_lose_the_call(client: Sender, text: str) -> None:
    """Half a surrogate pair is what is left of a character where a text was cut."""
    fields = ("call_sid", "from", "to", "caller_name")
    hook = {**dict.fromkeys(fields, "TEXT"), "env_vars": {"AGENT_NAME": "TEXT", "TEXT": "TEXT"}}
    body = json.dumps(hook).replace("TEXT", text).encode()
    status, verbs = await client.send(CALL_HOOK, body, JSON)
    assert status == 200
    assert verbs[0]["verb"] == "dial"


async def test_a_whole_surrogate_pair_is_a_character(client: Sender, gateway: Client) -> None:
    body = rb'{"call_sid": "pair", "from": "\ud83d\ude00 \ud800"}'
    _, verbs = await client.send(CALL_HOOK, body, JSON)
    assert (await get_call(gateway, verbs[0]["headers"]["X-Call-Id"]))["from_number"] == "😀 ?"


async def test_a_byte_order_mark_does_no_harm(client: Sender) -> None:
    status, _ = await client.send(CALL_HOOK, b"\xef\xbb\xbf" + _json({"call_sid": "mark"}), JSON)
    assert status == 200


@pytest.mark.parametrize(
    "details", [{}, {"sip_refer_to": ""}, {"sip_refer_to": "the boss"}, None, [], "tel:1", 5]
)
async def test_a_refer_hook_without_a_target_is_refused(client: Sender, details: object) -> None:
    # Never an empty 200: LiveKit would wait for its REFER to its time-out.
    answered = await client.refused(REFER, _json({**LEG, "refer_details": details}), JSON)
    assert answered[:2] == (404, "not_found")


def _json(content: object) -> bytes:
    return json.dumps(content).encode()
