"""schemathesis sends requests to every endpoint; only answers that are declared may come."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
import schemathesis
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, assume, settings
from requests.auth import AuthBase
from schemathesis.config import SchemathesisConfig
from schemathesis.generation.feedback import FeedbackSources
from schemathesis.pytest._test_builder import build_operation_test
from schemathesis.specs.openapi import checks

from gateway.api.openapi import document
from gateway.api.routes import ENDPOINTS
from gateway.app import create_app
from tests.api.clients import credentials_for
from tests.conftest import config_for
from tests.fakes.livekit import FakeLiveKit
from tests.fakes.receiver import Receiver

#: The same requests each time, and enough of them.
EXAMPLES = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.unsupported_method,
]
CONFIG = SchemathesisConfig.from_dict({"seed": 1, "phases": {"stateful": {"enabled": False}}})
# A client of the live feed listens until it disconnects; see test_events.py.
OPERATIONS = [
    (endpoint.method, endpoint.path)
    for endpoint in ENDPOINTS
    if endpoint.path != "/livekit-api/events"
]


class Credentials(AuthBase):
    """Authenticates each request, over the very bytes that are sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        assert isinstance(body, bytes | str)
        body = body.encode() if isinstance(body, str) else body
        request.headers.pop("Authorization", None)
        request.headers.update(credentials_for(request.path_url.partition("?")[0], body))
        return request


@dataclass
class Running:
    """A gateway, and for each endpoint an ongoing call that requests can name."""

    url: str
    calls: dict[str, dict[str, str]] = field(default_factory=dict)

    def name_a_call(self, case: Any) -> None:
        """Have half of the cases name an existing call: generated ids name none."""
        call_sid = case.operation.label
        if call_sid not in self.calls:
            call_id = self._ongoing_call(call_sid)
            delivery_id = self._delivery(call_id)
            self.calls[call_sid] = {
                "call_id": call_id,
                "call_sid": call_sid,
                "delivery_id": delivery_id,
            }
        known = self.calls[call_sid]
        for part in (case.path_parameters, case.query, case.body):
            if isinstance(part, dict):
                given = known.keys() & {name for name, value in part.items() if _is_odd(value)}
                part.update({name: known[name] for name in given})

    def _ongoing_call(self, call_sid: str) -> str:
        leg = {"call_sid": call_sid, "call_status": "trying"}
        (dial,) = self._post("/livekit-api", leg).json()
        self._post("/livekit-api/call-status", {**leg, "call_status": "in-progress"})
        call_id: str = dial["headers"]["X-Call-Id"]
        return call_id

    def _delivery(self, call_id: str) -> str:
        """The call's one delivery, of `call_started`."""
        url = f"{self.url}/livekit-api/calls/{call_id}"
        content = requests.get(url, auth=Credentials(), timeout=10).json()
        delivery_id: str = content["deliveries"][0]["delivery_id"]
        return delivery_id

    def _post(self, path: str, content: dict[str, str]) -> requests.Response:
        return requests.post(self.url + path, json=content, auth=Credentials(), timeout=10)


def _is_odd(value: object) -> bool:
    return isinstance(value, str) and len(value) % 2 == 1


@pytest.fixture(scope="module")
def running(server_process: None) -> Iterator[Running]:
    with _serving() as url:
        yield Running(url)


@pytest.fixture(scope="module")
def openapi() -> Any:
    return schemathesis.openapi.from_dict(document(ENDPOINTS), config=CONFIG)


# schemathesis' own `parametrize()` has one name for all tests in pytest 9.2, and xdist would run
# one of them; it also makes all requests up while tests are collected.
@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[" ".join(it) for it in OPERATIONS])
def test_endpoints_answer_as_declared(
    openapi: Any, running: Running, method: str, path: str
) -> None:
    test = build_operation_test(
        config=openapi.config,
        operation=openapi[path][method],
        test_func=answers_as_declared,
        given_kwargs={},
        feedback=FeedbackSources(),
    )
    test(running=running)


@EXAMPLES
def answers_as_declared(case: Any, running: Running) -> None:
    # aiohttp refuses a longer URL by itself.
    assume(len(urlencode(case.query or {}, doseq=True)) < 8_000)
    running.name_a_call(case)
    case.call_and_validate(base_url=running.url, auth=Credentials(), checks=CHECKS)


@contextmanager
def _serving() -> Iterator[str]:
    """A gateway on a loop of its own, for schemathesis waits for each answer."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    gateway = _gateway()

    def wait_for(what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(30)

    try:
        yield wait_for(gateway.__aenter__())
    finally:
        wait_for(gateway.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@asynccontextmanager
async def _gateway() -> AsyncIterator[str]:
    """Nothing leaves the machine, nothing waits for long, and no callback fails.

    One that did would be tried again after a random pause; Hypothesis wants `random` for itself.
    """
    async with FakeLiveKit().serving() as livekit, Receiver().serving() as receiver:
        config = config_for(
            livekit.url,
            callbacks={"urls": [receiver.url], "allowed_hosts": ["127.0.0.1"]},
            outbound={"agent_timeout": 0.1, "early_failure_window": 0.05},
            transfer={"allowed": ["+1555*"]},
            limits={"dispatch_rate": 1000},
        )
        async with TestServer(create_app(config)) as server:
            yield str(server.make_url("")).rstrip("/")
