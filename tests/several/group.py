"""Two gateways as processes behind one nginx, with one Redis, and clients of theirs."""

import asyncio
import os
import re
import secrets
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.stack import wait_until_up
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import CALLBACK_SECRET, DISPATCH_KEY, READ_KEY, WEBHOOK_SECRET
from tests.fakes import jambonz_socket
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.fakes.webhooks import authorization
from tests.gateway_process import GatewayProcess
from tests.several.nginx import Nginx

CALLER, CALLED = "+15550100", "+15550199"
READ = {"X-API-Key": READ_KEY}
DISPATCH = {"X-API-Key": DISPATCH_KEY}
#: How long a test waits for anything, in s.
LIMIT = 60.0


class Gateway:
    """Processes that follow one another on one port."""

    def __init__(self, port: int, env: Mapping[str, str]) -> None:
        self.port = port
        self.address = f"{LOOPBACK}:{port}"
        self._env = {**env, "PORT": str(port)}
        self._process: GatewayProcess | None = None

    async def start(self) -> None:
        """Returns once it is ready."""
        self._process = GatewayProcess(self.address, ["serve"], self._env)
        await self._wait_until_ready()

    def kill(self) -> None:
        """By SIGKILL."""
        assert self._process
        self._process.kill()

    def suspend(self) -> None:
        """By SIGSTOP: its connections stay open, and it does not respond."""
        assert self._process
        os.kill(self._process.pid, signal.SIGSTOP)

    async def resume(self) -> None:
        """Returns once it responds again."""
        assert self._process
        os.kill(self._process.pid, signal.SIGCONT)
        await self._wait_until_ready()

    async def terminate(self) -> int:
        """By SIGTERM; its exit code, once it has ended."""
        assert self._process
        os.kill(self._process.pid, signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            return await self._process.ended()

    def stop(self) -> None:
        """At once; a test of its own covers how it stops by SIGTERM."""
        if self._process:
            self._process.kill()
            self._process.stop()

    async def _wait_until_ready(self) -> None:
        assert self._process
        await asyncio.to_thread(wait_until_up, self._process, f"http://{self.address}/readyz")


@dataclass
class Group:
    """`http` sends requests to nginx by TLS, each on a new connection."""

    nginx: Nginx
    gateways: tuple[Gateway, Gateway]
    livekit: FakeLiveKit
    receiver: Receiver
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.nginx.config.url

    def jambonz(self) -> Jambonz:
        return Jambonz(self.http, self.url, WEBHOOK_SECRET, CALLER, CALLED)

    def jambonz_at(self, gateway: Gateway, call_sid: str) -> Jambonz:
        """A call whose hooks go to one gateway, past nginx."""
        url = f"http://{gateway.address}"
        return Jambonz(self.http, url, WEBHOOK_SECRET, CALLER, CALLED, call_sid)

    async def post_signed(self, path: str, body: bytes) -> int:
        """Post what LiveKit or an agent sends; the status of the response."""
        kind = "application/json" if path.endswith("/report") else "application/webhook+json"
        headers = {"Authorization": authorization(body), "Content-Type": kind}
        async with self.http.post(f"{self.url}{path}", data=body, headers=headers) as response:
            return response.status

    async def dispatch(
        self, content: Mapping[str, Any], key: str = "", at: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {**DISPATCH, **({"Idempotency-Key": key} if key else {})}
        url = f"{at or self.url}/dispatch"
        async with self.http.post(url, json=content, headers=headers) as response:
            return response.status, await response.json()

    async def get_call(self, call_id: str) -> dict[str, Any]:
        return await self._get(f"/livekit-api/calls/{call_id}")

    async def list_calls(self, query: str = "include=ended") -> list[dict[str, Any]]:
        """All pages."""
        calls: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self._get(f"/livekit-api/calls?limit=200&{query}{cursor}")
            calls += page["calls"]
            if not page["next_cursor"]:
                return calls
            cursor = f"&cursor={page['next_cursor']}"

    async def _get(self, path: str) -> dict[str, Any]:
        async with self.http.get(f"{self.url}{path}", headers=READ) as response:
            assert response.status == 200, await response.text()
            content: dict[str, Any] = await response.json()
            return content

    async def wait_for_end(self, call_id: str) -> dict[str, Any]:
        """The call, once it has ended."""
        async with asyncio.timeout(LIMIT):
            while (call := await self.get_call(call_id))["end_timestamp"] is None:
                await asyncio.sleep(0.05)
        return call

    def callbacks_of(self, call_id: str) -> list[tuple[str, str]]:
        """The event and event id of each callback about the call, in the order of arrival."""
        bodies = self.receiver.bodies
        return [(b["event"], b["event_id"]) for b in bodies if b["call"]["call_id"] == call_id]

    async def wait_for_log(self, pattern: str) -> None:
        """Wait until a line of nginx's log matches: it is written after the client's response."""
        async with asyncio.timeout(LIMIT):
            while not any(re.search(pattern, line) for line in self.nginx.config.access_log):
                await asyncio.sleep(0.01)

    async def wait_for_last_callbacks(self, call_ids: list[str]) -> None:
        """Wait for the last callback about each of the calls."""
        missing = set(call_ids)
        async with asyncio.timeout(LIMIT):
            while missing:
                missing -= {
                    body["call"]["call_id"]
                    for body in self.receiver.bodies
                    if body["event"] == "call_analyzed"
                }
                await asyncio.sleep(0.05)


def environment(url: str, redis: str, livekit: FakeLiveKit, receiver: Receiver) -> dict[str, str]:
    """The environment of both gateways, but for PORT."""
    return {
        **{key: os.environ[key] for key in ("PATH", "HOME", "HISTORY_URL") if key in os.environ},
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "LIVEKIT_SIP_HOST": "sip.example.com",
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        **jambonz_socket.ENV,
        "GATEWAY_API_KEYS": f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}",
        "GATEWAY_PUBLIC_URL": url,
        "SIP_OUTBOUND_TRUNK_ID": "ST_1",
        "CALLBACK_SECRET": CALLBACK_SECRET,
        "REDIS_URL": f"redis://{redis}/0",
        "GATEWAY__STORAGE__PREFIX": f"test-{secrets.token_hex(4)}",
        "GATEWAY__SERVER__HOST": LOOPBACK,
        # Longer than nginx takes to use a gateway again after it was down (`fail_timeout`).
        "GATEWAY__SERVER__DRAIN_DELAY": "4",
        "GATEWAY__MONITOR__INTERVAL": "0.2",
        # These tests check which gateway responds, not how fast: a loaded machine may pause.
        "GATEWAY__STORAGE__TIMEOUT": "5",
        "GATEWAY__LIVEKIT__TIMEOUT": "6",
        "GATEWAY__CALLBACKS__URLS": f"{receiver.url}/hook",
        "GATEWAY__CALLBACKS__ALLOWED_HOSTS": LOOPBACK,
        "GATEWAY__CALLBACKS__REPORT_TIMEOUT": "1",
    }
