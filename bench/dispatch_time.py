"""The response time of `POST /dispatch`: until a warm worker's agent is heard, or a refusal."""

import asyncio
import statistics
import time
from typing import Any

import aiohttp
from livekit.protocol.models import ParticipantInfo

from bench.processes import Server, without_livekit
from bench.result import Result
from gateway.aio import BackgroundTasks
from gateway.config.loader import build_config
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.stack import running
from tests.fakes.livekit import AGENT_AUDIO, FakeLiveKit
from tests.fakes.webhooks import authorization, webhook

CALLS = 20


class AgentWebhooks:
    """Has `fake` tell the gateway at `url` that the agent of each new room can be heard."""

    def __init__(self, fake: FakeLiveKit) -> None:
        self.url = ""
        self._fake = fake
        self._tasks = BackgroundTasks()
        fake.on_request = self._on_request

    def _on_request(self, method: str, moment: str) -> None:
        if (method, moment) == ("CreateRoom", "after"):
            room = self._fake.dispatches[-1].room
            self._tasks.spawn(self._track_published(room), name=f"agent of {room}")

    async def _track_published(self, room: str) -> None:
        agent = ParticipantInfo(identity=f"agent-{room}")
        body = webhook(f"EV_{room}", "track_published", room, agent, AGENT_AUDIO)
        headers = {
            "Authorization": authorization(body),
            "Content-Type": "application/webhook+json",
        }
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/livekit/webhook", data=body, headers=headers),
        ):
            pass


async def measure_audible() -> list[Result]:
    """With a real LiveKit; the agent is to dial, so the response comes once it can be heard."""
    env = {
        **without_livekit(),
        "GATEWAY_API_KEYS": "",
        "GATEWAY__OUTBOUND__DIALED_BY": "agent",
        "PORT": str(free_port()),
    }
    times: list[float] = []
    config = build_config({}, env)
    with running(config, env):
        async with aiohttp.ClientSession() as session:
            for _ in range(CALLS):
                elapsed, call = await _dispatch(session, config.own_url, wait="none", status=200)
                times.append(elapsed)
                url = f"{config.own_url}/livekit-api/calls/{call['call_id']}/hangup"
                async with session.post(url):
                    pass
                await asyncio.sleep(1)  # the worker warms up the next process
    spread = f"{CALLS} calls, {min(times):.2f} to {max(times):.2f} s"
    return [Result("dispatch to audible agent, p50", statistics.median(times), 0.5, "s", spread)]


async def measure_refused(gateway: Server) -> list[Result]:
    """The LiveKit of `gateway` refuses the caller ID at once when it is to dial."""
    async with aiohttp.ClientSession() as session:
        times = [
            (await _dispatch(session, gateway.url, wait="early", status=502))[0]
            for _ in range(CALLS)
        ]
    spread = f"{CALLS} calls, {min(times):.3f} to {max(times):.3f} s"
    return [Result("refused caller ID to its 502, slowest", max(times), 1.0, "s", spread)]


async def _dispatch(
    session: aiohttp.ClientSession, url: str, *, wait: str, status: int
) -> tuple[float, dict[str, Any]]:
    """The time of a dispatch, in s, and the content of its response."""
    request = {"destination": "61491570156", "account_code": "bench", "wait": wait}
    start = time.perf_counter()
    async with session.post(f"{url}/dispatch", json=request) as response:
        content: dict[str, Any] = await response.json()
        assert response.status == status, content
    return time.perf_counter() - start, content
