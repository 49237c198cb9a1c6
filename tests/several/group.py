"""Two gateways as processes behind one nginx, with one Redis, and those who come to them."""

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
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import wait_until_up
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import CALLBACK_SECRET, DISPATCH_KEY, READ_KEY, WEBHOOK_SECRET
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.fakes.webhooks import authorization
from tests.several.nginx import Running

CALLER, CALLED = "+15550100", "+15550199"
READ = {"X-API-Key": READ_KEY}
DISPATCH = {"X-API-Key": DISPATCH_KEY}


class Gateway:
    """One process after the other on the same port."""

    def __init__(self, port: int, env: Mapping[str, str]) -> None:
        self.port = port
        self.address = f"{LOOPBACK}:{port}"
        self._env = {**env, "PORT": str(port)}
        self._child: Process | None = None

    async def start(self) -> None:
        """Returns once it is ready."""
        self._child = Process(self.address, python("-m", "gateway", "serve"), self._env)
        await asyncio.to_thread(wait_until_up, self._child, f"http://{self.address}/readyz")

    def kill(self) -> None:
        """kill -9."""
        assert self._child
        self._child.kill()

    def freeze(self) -> None:
        assert self._child
        os.kill(self._child.pid, signal.SIGSTOP)

    async def thaw(self) -> None:
        """Returns once it answers again."""
        assert self._child
        os.kill(self._child.pid, signal.SIGCONT)
        await asyncio.to_thread(wait_until_up, self._child, f"http://{self.address}/readyz")

    async def told_to_stop(self) -> int:
        """SIGTERM; its exit code, once it has gone by itself."""
        assert self._child
        os.kill(self._child.pid, signal.SIGTERM)
        async with asyncio.timeout(30):
            while (code := self._child.exit_code) is None:
                await asyncio.sleep(0.02)
        return code

    def stop(self) -> None:
        """At once: what it does when it is told to stop has a test of its own."""
        if self._child:
            self._child.kill()
            self._child.stop()


@dataclass
class Group:
    """All of it; `http` goes to nginx by TLS, each request on a connection of its own."""

    running: Running
    gateways: tuple[Gateway, Gateway]
    livekit: FakeLiveKit
    receiver: Receiver
    http: aiohttp.ClientSession

    @property
    def url(self) -> str:
        return self.running.nginx.url

    def jambonz(self) -> Jambonz:
        return Jambonz(self.http, self.url, WEBHOOK_SECRET, CALLER, CALLED)

    def jambonz_at(self, gateway: Gateway, call_sid: str) -> Jambonz:
        """The same call at a gateway of one's choice, past nginx."""
        url = f"http://{gateway.address}"
        return Jambonz(self.http, url, WEBHOOK_SECRET, CALLER, CALLED, call_sid)

    async def proven(self, path: str, body: bytes) -> int:
        """Post what LiveKit or an agent posts; the status of the answer."""
        kind = "application/json" if path.endswith("/report") else "application/webhook+json"
        headers = {"Authorization": authorization(body), "Content-Type": kind}
        async with self.http.post(f"{self.url}{path}", data=body, headers=headers) as answer:
            return answer.status

    async def dispatch(
        self, content: Mapping[str, Any], key: str = "", at: str = ""
    ) -> tuple[int, dict[str, Any]]:
        headers = {**DISPATCH, **({"Idempotency-Key": key} if key else {})}
        url = f"{at or self.url}/dispatch"
        async with self.http.post(url, json=content, headers=headers) as answer:
            return answer.status, await answer.json()

    async def call(self, call_id: str) -> dict[str, Any]:
        return await self._get(f"/livekit-api/calls/{call_id}")

    async def calls(self, query: str = "include=ended") -> list[dict[str, Any]]:
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
        async with self.http.get(f"{self.url}{path}", headers=READ) as answer:
            assert answer.status == 200, await answer.text()
            content: dict[str, Any] = await answer.json()
            return content

    async def ended(self, call_id: str) -> dict[str, Any]:
        """The call, once it has ended."""
        async with asyncio.timeout(30):
            while (call := await self.call(call_id))["end_timestamp"] is None:
                await asyncio.sleep(0.05)
        return call

    def heard_of(self, call_id: str) -> list[tuple[str, str]]:
        """The callbacks about a call that arrived, in their order: event and its id."""
        bodies = self.receiver.bodies
        return [(b["event"], b["event_id"]) for b in bodies if b["call"]["call_id"] == call_id]

    async def logged(self, pattern: str) -> None:
        """Wait until a line of nginx's log has it: written after its client has the answer."""
        async with asyncio.timeout(10):
            while not any(re.search(pattern, line) for line in self.running.nginx.served):
                await asyncio.sleep(0.01)

    async def told_to_the_end(self, call_ids: list[str]) -> None:
        """Wait for the last callback about each of the calls."""
        waiting = set(call_ids)
        async with asyncio.timeout(60):
            while waiting:
                over = {
                    body["call"]["call_id"]
                    for body in self.receiver.bodies
                    if body["event"] == "call_analyzed"
                }
                waiting -= over
                await asyncio.sleep(0.05)


def environment(url: str, redis: str, livekit: FakeLiveKit, receiver: Receiver) -> dict[str, str]:
    """What both gateways are started with; all but PORT."""
    return {
        **{key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ},
        "PYTHONDONTWRITEBYTECODE": "1",
        "LIVEKIT_URL": livekit.url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "LIVEKIT_SIP_HOST": "sip.example.com",
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GATEWAY_API_KEYS": f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}",
        "GATEWAY_PUBLIC_URL": url,
        "SIP_OUTBOUND_TRUNK_ID": "ST_1",
        "CALLBACK_SECRET": CALLBACK_SECRET,
        "REDIS_URL": f"redis://{redis}/0",
        "GATEWAY__STORAGE__PREFIX": f"test-{secrets.token_hex(4)}",
        "GATEWAY__SERVER__HOST": LOOPBACK,
        # Longer than nginx takes to find a gateway again that is back (`fail_timeout`).
        "GATEWAY__SERVER__DRAIN_DELAY": "4",
        "GATEWAY__MONITOR__INTERVAL": "0.2",
        # Who answers is looked at here, not how soon: a machine may stand still for a second.
        "GATEWAY__STORAGE__TIMEOUT": "5",
        "GATEWAY__LIVEKIT__TIMEOUT": "6",
        "GATEWAY__CALLBACKS__URLS": f"{receiver.url}/hook",
        "GATEWAY__CALLBACKS__ALLOWED_HOSTS": LOOPBACK,
        "GATEWAY__CALLBACKS__REPORT_TIMEOUT": "1",
    }
