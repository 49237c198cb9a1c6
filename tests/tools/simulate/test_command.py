"""`simulate`: what it refuses before the call, and what it says about a call that failed."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.cli import main
from gateway.config.loader import build_config
from gateway.security.api_keys import OwnKeys
from gateway.tools.simulate.outbound import DispatchRequest, play
from gateway.tools.simulate.steps import StepFailed, Steps
from tests.ports import free_port

pytestmark = pytest.mark.field("H6")

LIVEKIT = {
    "LIVEKIT_URL": "ws://127.0.0.1:9",
    "LIVEKIT_API_KEY": "k",
    "LIVEKIT_API_SECRET": "s",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {**LIVEKIT, "PORT": str(free_port())}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["inbound", "--dtmf", "xyz"], "--dtmf: keys are 0 to 9, *, # and A to D"),
        (["inbound", "--hold", "-1"], "--hold: must be a number of seconds"),
        (["outbound", "--hold", "nan"], "--hold: must be a number of seconds"),
        (["outbound", "--hold", "soon"], "--hold: must be a number of seconds"),
        (["inbound", "--url", "127.0.0.1:8000"], "--url: must be of the form https://host"),
    ],
)
def test_an_option_is_refused_before_the_call(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["simulate", *words])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("path", ["/nonexistent/x.wav", ".", "/proc/x.wav"])
def test_a_recording_that_cannot_be_written_is_refused_before_the_call(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "inbound", "--record", path]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"gateway: cannot write {path}: ")
    assert "call hook" not in error


@pytest.mark.parametrize("kind", ["inbound", "outbound"])
def test_without_a_gateway_it_says_how_to_start_one(
    kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", kind]) == 1
    error = capsys.readouterr().err
    assert "start the gateway (`make run`), or give its address with --url" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("call_status", "reason"), [("not_connected", "dial_busy"), ("error", "dial_failed")]
)
async def test_a_call_that_did_not_connect_is_a_failure(call_status: str, reason: str) -> None:
    with pytest.raises(StepFailed, match=f"as {call_status}: {reason} after 0 ms, SIP 486 Busy"):
        await simulated(call_status, reason)


async def test_a_call_that_was_answered_is_a_success() -> None:
    await simulated("ended", "user_hangup")


@pytest.mark.parametrize(
    "message", ["there is no outbound trunk", "sip not connected (redis required)"]
)
async def test_without_sip_it_says_how_to_simulate_the_callee(message: str) -> None:
    refusal = web.json_response({"error": "no_trunk", "message": message}, status=503)
    with pytest.raises(StepFailed, match="set GATEWAY__OUTBOUND__DIALED_BY=agent"):
        await simulated("", "", refusal)


async def simulated(call_status: str, reason: str, refusal: web.Response | None = None) -> None:
    call = {
        "call_id": "outbound-1",
        "call_status": call_status,
        "disconnection_reason": reason,
        "duration_ms": 0,
        "sip": {"status": 486, "reason": "Busy Here"},
    }
    async with gateway_with(call, refusal) as url, asyncio.timeout(30):
        config = build_config({}, LIVEKIT)
        keys = OwnKeys({}, is_required=False)
        await play(config, keys, url, DispatchRequest(hold=0), Steps())


@asynccontextmanager
async def gateway_with(call: Mapping[str, Any], refusal: web.Response | None) -> AsyncIterator[str]:
    async def dispatch(_: web.Request) -> web.Response:
        ids = {"call_id": call["call_id"], "dispatch_id": "AD_1", "job_id": "AJ_1"}
        return refusal or web.json_response(ids)

    async def get(_: web.Request) -> web.Response:
        return web.json_response(call)

    app = web.Application()
    app.add_routes([web.post("/dispatch", dispatch), web.get("/livekit-api/calls/{call_id}", get)])
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")
