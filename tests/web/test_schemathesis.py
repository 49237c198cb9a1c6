"""What schemathesis makes of the OpenAPI document, at every door: only answers it tells of."""

import asyncio
import base64
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import requests
import schemathesis
from aiohttp.test_utils import TestServer
from hypothesis import HealthCheck, settings
from livekit import api
from requests.auth import AuthBase
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from gateway.app import create_app
from gateway.jambonz.signature import sign
from gateway.settings import Config
from gateway.web.openapi import document
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET, config_for
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit

#: The same requests each time, and enough of them.
EXAMPLES = settings(
    max_examples=60,
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
SCHEMA = schemathesis.openapi.from_dict(json.loads(document()), config=CONFIG)


class Proof(AuthBase):
    """What each door wants, over the very bytes that are sent."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        body = body.encode() if isinstance(body, str) else body
        path = request.path_url.partition("?")[0]
        request.headers["Jambonz-Signature"] = sign(body, WEBHOOK_SECRET, at=int(time.time()))
        request.headers["X-API-Key"] = DISPATCH_KEY
        request.headers.pop("Authorization", None)
        if path == "/livekit/webhook" or path.endswith("/report"):
            digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
            token = api.AccessToken(KEY, SECRET).with_sha256(digest).to_jwt()
            request.headers["Authorization"] = token
        return request


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with _running() as url:
        yield url


@SCHEMA.parametrize()
@EXAMPLES
def test_doors_answer_as_they_say(case: Any, url: str) -> None:
    case.call_and_validate(base_url=url, auth=Proof(), checks=CHECKS)


@contextmanager
def _running() -> Iterator[str]:
    """A gateway and its LiveKit on a loop of their own, for schemathesis waits for each answer."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def wait_for(what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, loop).result(30)

    fake = FakeLiveKit().serving()
    livekit = wait_for(fake.__aenter__())
    server = TestServer(create_app(_config(livekit.url)))
    wait_for(server.start_server())
    try:
        yield str(server.make_url("")).rstrip("/")
    finally:
        wait_for(server.close())
        wait_for(fake.__aexit__(None, None, None))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _config(livekit_url: str) -> Config:
    """Nothing leaves the machine, and nothing waits for long."""
    return config_for(
        livekit_url,
        callbacks={"allowed_hosts": ["127.0.0.1"]},
        outbound={"agent_timeout": 0.1, "early_failure_window": 0.05},
    )
