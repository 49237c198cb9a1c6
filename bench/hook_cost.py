"""What `POST /livekit-api` costs beside a bare handler that makes the same CreateRoom call."""

import asyncio
import json
import math
import statistics
import time
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from bench.parts import Part
from bench.result import Result
from gateway.jambonz.signature import sign

IN_FLIGHT = 16
ROUND = 250
ROUNDS = 18
WARM_UP = 100

SDP = "v=0\r\n" + "".join(f"a=rtpmap:{n} codec{n}/8000\r\n" for n in range(40))


@dataclass
class Load:
    """What one server was seen to need a request, a value a round, in s: CPU, time in all, and
    the median time that one waited."""

    url: str
    pid: int
    cpu: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)

    async def round(self, requests: int, body: Callable[[], bytes], secret: str) -> None:
        before = cpu_time(self.pid)
        times: list[float] = []
        began = time.perf_counter()
        async with aiohttp.ClientSession() as session:
            pending = iter(range(requests))

            async def client() -> None:
                times.extend([await self._ask(session, body(), secret) for _ in pending])

            await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
        self.cpu.append((cpu_time(self.pid) - before) / requests)
        self.elapsed.append((time.perf_counter() - began) / requests)
        self.p50.append(statistics.median(times))

    async def _ask(self, session: aiohttp.ClientSession, body: bytes, secret: str) -> float:
        began, url = time.perf_counter(), f"{self.url}/livekit-api"
        async with session.post(url, data=body, headers=signed(body, secret)) as answer:
            verbs = await answer.json()
            assert verbs[0]["verb"] == "dial", verbs
        return time.perf_counter() - began

    def forget(self) -> None:
        self.cpu.clear()
        self.elapsed.clear()
        self.p50.clear()


def cpu_time(pid: int) -> float:
    """CPU that a process has used in all its threads, in s, finer than the clock tick of `ps`."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def signed(body: bytes, secret: str) -> dict[str, str]:
    """The headers of a hook that Jambonz signed."""
    signature = sign(body, secret, at=int(time.time()))
    return {"Content-Type": "application/json", "Jambonz-Signature": signature}


def call_hook() -> bytes:
    """A hook of the size and shape that jambonz-feature-server sends."""
    sid = str(uuid.uuid4())
    return json.dumps(
        {
            "sip": {
                "headers": {"from": "<sip:+15550100@sbc>", "call-id": sid, "X-Account-Sid": sid},
                "raw": f"INVITE sip:+15550199@sbc SIP/2.0\r\n\r\n{SDP}",
                "body": SDP,
                "method": "INVITE",
                "version": "2.0",
                "uri": "sip:+15550199@sbc",
                "payload": [{"type": "application/sdp", "content": SDP}],
            },
            "direction": "inbound",
            "trace_id": sid,
            "has_recording": False,
            "caller_name": "Bob",
            "call_sid": sid,
            "account_sid": sid,
            "application_sid": sid,
            "from": "+15550100",
            "to": "+15550199",
            "call_id": sid,
            "sip_status": 100,
            "sip_reason": "Trying",
            "call_status": "trying",
            "originating_sip_ip": "192.0.2.1",
            "originating_sip_trunk_name": "carrier",
            "defaults": {"synthesizer": {"vendor": "default"}, "recognizer": {"vendor": "default"}},
            "env_vars": {"ACCOUNT_CODE": "em-01"},
        }
    ).encode()


async def measure(floor: Part, sharing: Part, gateway: Part, secret: str) -> list[Result]:
    """Rounds of each in turn, so that all meet the same machine. `sharing`: see `bench.floor`."""
    bare, lean, ours = (Load(part.url, part.pid) for part in (floor, sharing, gateway))
    for load in (bare, lean, ours):
        await load.round(WARM_UP, call_hook, secret)
        load.forget()
    order = deque([bare, lean, ours])
    for _ in range(ROUNDS):
        for load in order:
            await load.round(ROUND, call_hook, secret)
        order.rotate()  # nobody is always the first, or always behind the heaviest
    cpu = f"{_us(ours.cpu)} a request, bare"
    added = statistics.median(a - b for a, b in zip(ours.p50, bare.p50, strict=True))
    return [
        Result(
            "POST /livekit-api: CPU, against a bare handler",
            ratio(ours, bare),
            1.25,
            "x",
            f"{cpu} {_us(bare.cpu)}",
        ),
        Result(
            "  against a bare one that shares one token",
            ratio(ours, lean),
            math.inf,
            "x",
            f"{cpu} {_us(lean.cpu)}",
        ),
        Result(
            f"POST /livekit-api: added at p50, {IN_FLIGHT} in flight",
            added * 1000,
            2.0,
            "ms",
            f"{_ms(ours.p50)}, bare {_ms(bare.p50)}",
        ),
    ]


def ratio(ours: Load, floor: Load) -> float:
    """The median over rounds: each round's pair met the same weather."""
    return statistics.median(a / b for a, b in zip(ours.cpu, floor.cpu, strict=True))


def _us(times: list[float]) -> str:
    return f"{statistics.median(times) * 1e6:.0f} us"


def _ms(times: list[float]) -> str:
    return f"{statistics.median(times) * 1000:.2f} ms"
