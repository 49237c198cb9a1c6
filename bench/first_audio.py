"""From the call hook to the agent's first audio, beside a dispatch rule of LiveKit without us.

With a real LiveKit and a warm worker each. By a dispatch rule LiveKit opens the room and dispatches
the agent when livekit-sip's participant joins: as it does for one whose token has a configuration
of its room.
"""

import asyncio
import json
import math
import os
import statistics
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from livekit import api
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import RoomConfiguration

from bench.processes import SECRET, without_livekit
from bench.result import Result
from gateway.config.loader import build_config, own_keys
from gateway.config.settings import LOOPBACK
from gateway.tools.dev.livekit_binary import find_or_build
from gateway.tools.dev.livekit_server import LiveKitServer, free_port, local_server
from gateway.tools.dev.processes import Process
from gateway.tools.dev.stack import READY_LIMIT, WORKER, WORKER_READY, running, wait_until_up
from gateway.tools.simulate.caller import RULE_ID, Caller, tone
from gateway.tools.simulate.inbound import Script, play
from gateway.tools.simulate.steps import Steps

CALLS = 20
#: How long a call lasts, in s: meanwhile the worker warms up the next process.
HOLD = 1.0
AGENT = "bench-agent"


async def measure() -> list[Result]:
    env = {
        **without_livekit(),
        "JAMBONZ_WEBHOOK_SECRET": SECRET,
        "GATEWAY_API_KEYS": "",
        "PORT": str(free_port()),
    }
    times: list[float] = []
    without_us: list[float] = []
    with running(build_config({}, env), env) as stack, livekit_alone() as livekit:
        config = build_config({}, stack.env)
        keys = own_keys(config, stack.env)
        for _ in range(CALLS):
            steps = Steps()
            await play(config, keys, config.own_url, Script(hold=HOLD), steps)
            times.append(steps.done["agent heard"])
            without_us.append(await livekit.call())
    alone = "  LiveKit's own dispatch rule, without us"
    return [
        Result("hook to first agent audio, p50", statistics.median(times), 0.7, "s", _of(times)),
        Result(alone, statistics.median(without_us), math.inf, "s", _of(without_us)),
    ]


@dataclass(frozen=True)
class LiveKitAlone:
    """A LiveKit that opens rooms itself, and a worker; no gateway."""

    server: LiveKitServer

    async def call(self) -> float:
        """From joining to the agent's first audio, in s."""
        began = time.monotonic()
        async with Caller.joined(self.server.url, self._token()) as caller:
            await caller.speak(tone())
            await caller.agent_audio()
            await caller.agent_heard()
            took = time.monotonic() - began
            await asyncio.sleep(HOLD)
        return took

    def _token(self) -> str:
        token = api.AccessToken(self.server.key, self.server.secret)
        token.with_identity("sip_+15550100").with_kind("sip")
        token.with_attributes({"sip.callStatus": "active", "sip.ruleID": RULE_ID})
        token.with_grants(api.VideoGrants(room_join=True, room=f"rule-{uuid.uuid4()}"))
        agents = [RoomAgentDispatch(agent_name=AGENT)]
        return token.with_room_config(RoomConfiguration(agents=agents)).to_jwt()


@contextmanager
def livekit_alone() -> Iterator[LiveKitAlone]:
    server = local_server(find_or_build(), webhook_url=f"http://{LOOPBACK}:9/")
    settings = {**json.loads(server.env["LIVEKIT_CONFIG"]), "room": {"auto_create": True}}
    env = {
        **without_livekit(),
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.key,
        "LIVEKIT_API_SECRET": server.secret,
        "LIVEKIT_AGENT_NAME": AGENT,
        "AGENT_LOAD_THRESHOLD": "inf",
        "AGENT_HTTP_PORT": str(free_port()),
    }
    process = Process(
        "livekit", server.command, os.environ | {"LIVEKIT_CONFIG": json.dumps(settings)}
    )
    try:
        wait_until_up(process, f"http://{LOOPBACK}:{server.port}")
        worker = Process("worker", WORKER, env)
        try:
            worker.wait_for(WORKER_READY, limit=READY_LIMIT)
            yield LiveKitAlone(server)
        finally:
            worker.stop()
    finally:
        process.stop()


def _of(times: list[float]) -> str:
    return f"{len(times)} calls, {min(times):.2f} to {max(times):.2f} s"
