"""Whole calls, logged at debug level: the log holds neither telephone numbers nor secrets."""

import asyncio
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from livekit.protocol.models import ParticipantInfo
from yarl import URL

from gateway.calls.destinations import Credentials
from gateway.jambonz.basic_auth import encode
from gateway.tools.dev.processes import Process
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from tests.api.test_dispatch import GUIDE
from tests.api.test_endpoints import token
from tests.api.test_livekit import webhook
from tests.fakes.livekit import KEY, SECRET, Callee, FakeLiveKit, TwirpError
from tests.fakes.receiver import Receiver
from tests.gateway_process import GatewayProcess
from tests.ports import free_port

CALLER, CALLED, CALLEE, ELSEWHERE = "+15550100", "+15550199", "61402012298", "61491570156"
NUMBERS = [CALLER, CALLED, CALLEE, ELSEWHERE, GUIDE["transfer_target"], GUIDE["caller_number"]]

Serve = Callable[..., Awaitable[Process]]


class Traffic:
    """Calls, requests and callbacks for a gateway that runs as its own process."""

    def __init__(self, livekit: FakeLiveKit, receiver: Receiver) -> None:
        self.livekit = livekit
        self.receiver = receiver
        self.hook_secret, self.api_key, self.password = (secrets.token_hex(16) for _ in range(3))
        self.callback_secret = "whsec_" + secrets.token_hex(32)
        self.callback_key, self.query = secrets.token_hex(8), secrets.token_hex(8)
        self.history_password = secrets.token_hex(8)
        self.port = free_port()
        self.env = {
            "PATH": os.environ["PATH"],
            # Nothing listens there, which is logged.
            "HISTORY_URL": f"postgresql://gateway:{self.history_password}@127.0.0.1:9/gateway",
            "PORT": str(self.port),
            "LIVEKIT_URL": livekit.url,
            "LIVEKIT_API_KEY": KEY,
            "LIVEKIT_API_SECRET": SECRET,
            "LIVEKIT_SIP_HOST": "sip.example.com",
            "JAMBONZ_WEBHOOK_SECRET": self.hook_secret,
            "JAMBONZ_WEBHOOK_AUTH": f"jambonz:{self.password}",
            "GATEWAY_API_KEYS": f"n8n:dispatch:{self.api_key}",
            "SIP_OUTBOUND_TRUNK_ID": "ST_1",
            "CALLBACK_SECRET": self.callback_secret,
            "CALLBACK_HEADER": f"X-Callback-Key: {self.callback_key}",
            "GATEWAY__CALLBACKS__ALLOWED_HOSTS": "127.0.0.1",
            "GATEWAY__CALLBACKS__GIVE_UP_AFTER": "1",
            "GATEWAY__CALLBACKS__REPORT_TIMEOUT": "0.1",
            "GATEWAY__MONITOR__INTERVAL": "0.05",
            "GATEWAY__LOGGING__LEVEL": "debug",
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def secrets(self) -> list[str]:
        """Every secret that the gateway is configured with or receives."""
        basic = encode(Credentials("jambonz", self.password)).removeprefix("Basic ")
        own = [self.hook_secret, self.api_key, self.password, basic, self.callback_key, self.query]
        own += [self.history_password, self.callback_secret.removeprefix("whsec_")]
        return [*own, SECRET]

    async def run(self) -> list[str]:
        """Calls that succeed and calls that fail, in several ways; their ids."""
        async with aiohttp.ClientSession() as session:
            return [
                await self._inbound(session),
                await self._without_room(session),
                await self._outbound(session, CALLEE, f"{self.receiver.url}/{ELSEWHERE}"),
                await self._outbound(session, ELSEWHERE, f"http://127.0.0.1:9/{ELSEWHERE}"),
                *await self._refused_requests(session),
            ]

    async def _inbound(self, session: aiohttp.ClientSession) -> str:
        jambonz = Jambonz(session, self.url, self.hook_secret, CALLER, CALLED)
        (dial,) = await jambonz.call_arrives()
        call_id: str = dial["headers"]["X-Call-Id"]
        joined = webhook("participant_joined", call_id, ParticipantInfo.Kind.SIP)
        for body in (joined, joined.replace(b"joined", b"left")):
            data = body.replace(b'"who"', f'"sip_{CALLER}"'.encode())
            headers = {"Authorization": token(data, KEY, SECRET)}
            url = f"{self.url}/livekit/webhook"
            async with session.post(url, data=data, headers=headers) as response:
                assert response.status == 204
        await jambonz.dial_ends(dial["actionHook"], "completed", "completed", 200)
        return call_id

    async def _without_room(self, session: aiohttp.ClientSession) -> str:
        """LiveKit refuses the room, with a secret and a number in its message."""
        message = f"{SECRET} may not call {CALLER}"
        self.livekit.failures.append(TwirpError(403, "permission_denied", message))
        jambonz = Jambonz(session, self.url, "", CALLER, CALLED)
        jambonz.credentials = Credentials("jambonz", self.password)
        await jambonz.call_arrives()
        return await self._newest(session)

    async def _outbound(self, session: aiohttp.ClientSession, number: str, callback: str) -> str:
        body = {
            **GUIDE,
            "destination": number,
            "callback_url": f"{callback}?signature={self.query}",
        }
        async with session.post(f"{self.url}/dispatch", json=body, headers=self._key) as response:
            assert response.status == (200 if number == CALLEE else 502)
        call_id = await self._newest(session)
        hangup = f"{self.url}/livekit-api/calls/{call_id}/hangup"
        async with session.post(hangup, headers=self._key) as response:
            call = await response.json()
        async with asyncio.timeout(20):
            while len(call["deliveries"]) < 2 or any(
                delivery["status"] == "pending" for delivery in call["deliveries"]
            ):
                await asyncio.sleep(0.05)
                call = await self._get(session, f"/livekit-api/calls/{call_id}")
        return call_id

    async def _refused_requests(self, session: aiohttp.ClientSession) -> list[str]:
        """Requests that the gateway refuses: they are no calls."""
        with pytest.raises(HookRefused):
            await Jambonz(session, self.url, self.callback_key, CALLER, CALLED).call_arrives()
        for path, status in (
            (f"/livekit-api/calls/{CALLER}", 503),  # the history might have it
            (f"/{CALLEE}?key={self.api_key}", 404),
        ):
            url = URL(f"{self.url}{path}", encoded=True)
            async with session.get(url, headers=self._key) as response:
                assert response.status == status
        return []

    async def _newest(self, session: aiohttp.ClientSession) -> str:
        listed = await self._get(session, "/livekit-api/calls?include=ended&limit=1")
        call_id: str = listed["calls"][0]["call_id"]
        return call_id

    async def _get(self, session: aiohttp.ClientSession, path: str) -> dict[str, Any]:
        async with session.get(f"{self.url}{path}", headers=self._key) as response:
            content: dict[str, Any] = await response.json()
            return content

    @property
    def _key(self) -> dict[str, str]:
        return {"X-API-Key": self.api_key}


@pytest.fixture
async def traffic(fake_livekit: FakeLiveKit, receiver: Receiver) -> Traffic:
    fake_livekit.callees[ELSEWHERE] = Callee(sip=(404, f"{ELSEWHERE} not found, {SECRET}"))
    receiver.answer = lambda number: 500 if number % 2 else 200
    return Traffic(fake_livekit, receiver)


@pytest.fixture
async def serve(server_process: None, traffic: Traffic) -> AsyncIterator[Serve]:
    """Starts the gateway as its own process: the test reads what it really writes."""
    processes: list[Process] = []

    async def start(**settings: str) -> Process:
        child = GatewayProcess("gateway", ["serve"], {**traffic.env, **settings})
        processes.append(child)
        await asyncio.to_thread(child.wait_for, "gateway.listening", limit=30)
        return child

    yield start
    for child in processes:
        await asyncio.to_thread(child.stop)


async def logged(child: Process) -> str:
    await asyncio.to_thread(child.stop)
    return "\n".join(child.lines)


@pytest.mark.parametrize("form", ["json", "console"])
async def test_neither_numbers_nor_secrets_are_logged(
    traffic: Traffic, serve: Serve, form: str
) -> None:
    child = await serve(GATEWAY__LOGGING__FORMAT=form)
    call_ids = await traffic.run()
    log = await logged(child)
    for event in ("call.registered", "call.event", "call.ended", "call.livekit_failed"):
        assert event in log
    for event in ("audit.recorded", "history.unavailable", "history.calls_unsaved"):
        assert event in log
    for event in ("callback.delivered", "request.refused", "gateway.stopped"):
        assert event in log
    assert all(call_id in log for call_id in call_ids), log
    assert "[number]" in log
    assert "[secret] may not call [number]" in log
    assert [number for number in NUMBERS if str(number).lstrip("+") in log] == []
    assert [secret for secret in traffic.secrets() if secret in log] == []


async def test_redaction_can_be_switched_off_for_numbers_only(
    traffic: Traffic, serve: Serve
) -> None:
    child = await serve(GATEWAY__LOGGING__FORMAT="json", GATEWAY__LOGGING__REDACT="false")
    await traffic.run()
    log = await logged(child)
    assert f"[secret] may not call {CALLER}" in log
    assert [secret for secret in traffic.secrets() if secret in log] == []
    assert all(json.loads(line)["event"] for line in log.splitlines())
