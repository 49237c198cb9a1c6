"""Call hooks as Jambonz sends them, and rounds of them that load a server."""

import asyncio
import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, takewhile
from pathlib import Path

import aiohttp

from bench.processes import SECRET, Server
from gateway.jambonz.signature import sign

#: How many requests are in flight during a round.
IN_FLIGHT = 16
#: How long a slice lasts, in s.
SLICE = 1.0

SDP = "v=0\r\n" + "".join(f"a=rtpmap:{n} codec{n}/8000\r\n" for n in range(40))


@dataclass
class Load:
    """Rounds of hooks to one server. A value per round, in s: the CPU time and the elapsed time
    that a request took, and the median response time."""

    server: Server
    cpu: list[float] = field(default_factory=list)
    elapsed: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)

    async def run_round(self, requests: int, new_hook: Callable[[], bytes]) -> None:
        await self._run(iter(range(requests)), new_hook)

    async def run_slice(self, new_hook: Callable[[], bytes]) -> None:
        """As many requests as there is time for."""
        end = time.perf_counter() + SLICE
        await self._run(takewhile(lambda _: time.perf_counter() < end, count()), new_hook)

    async def _run(self, pending: Iterator[object], new_hook: Callable[[], bytes]) -> None:
        cpu_before = cpu_time(self.server.pid)
        times: list[float] = []
        start = time.perf_counter()
        async with aiohttp.ClientSession() as session:

            async def client() -> None:
                times.extend([await self._send(session, new_hook()) for _ in pending])

            await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
        self.cpu.append((cpu_time(self.server.pid) - cpu_before) / len(times))
        self.elapsed.append((time.perf_counter() - start) / len(times))
        self.p50.append(statistics.median(times))

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> float:
        start, url = time.perf_counter(), f"{self.server.url}/livekit-api"
        async with session.post(url, data=body, headers=signed(body)) as response:
            verbs = await response.json()
            assert verbs[0]["verb"] == "dial", verbs
        return time.perf_counter() - start

    def reset(self) -> None:
        """Forget the rounds so far: they have warmed up the server."""
        self.cpu.clear()
        self.elapsed.clear()
        self.p50.clear()


def cpu_ratios(load: Load, reference: Load) -> list[float]:
    """One for each round: the two of a round ran under the same conditions."""
    return [a / b for a, b in zip(load.cpu, reference.cpu, strict=True)]


def cpu_time(pid: int) -> float:
    """CPU time that all threads of a process have used, in s; finer than `ps` has it."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def signed(body: bytes) -> dict[str, str]:
    """The headers of a hook that Jambonz has signed."""
    signature = sign(body, SECRET, at=int(time.time()))
    return {"Content-Type": "application/json", "Jambonz-Signature": signature}


def call_hook() -> bytes:
    """A call hook of the size and shape that jambonz-feature-server sends, for a new call."""
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
