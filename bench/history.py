"""A history of a million calls: its list, searches, today's counts; what a call costs to save."""

import asyncio
import math
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from typing import Any

import aiohttp
import msgspec

from bench.processes import GATEWAY, Server, fake_livekit, serving
from bench.result import Result
from gateway.calls.call import Call, CallStatus, Direction, EventKind, TimelineEntry
from gateway.calls.reasons import DisconnectionReason
from gateway.config.settings import HistorySettings
from gateway.history.database import open_history
from gateway.history.history import History
from gateway.history.records import row_of
from gateway.storage.unsaved import UnsavedCall

CALLS = 1_000_000
#: They began within so many ms, until now; so they are kept, and a thirtieth is of today.
PERIOD = 25 * 86_400_000
ROWS = 2_000
#: Calls that are saved to measure it, so many at a time as the gateway saves.
SAVED, BATCH = 1_000, 20
REQUESTS = 40

_REASONS = [DisconnectionReason.USER_HANGUP, DisconnectionReason.AGENT_HANGUP] * 20 + [
    DisconnectionReason.DIAL_BUSY,
    DisconnectionReason.CALL_TRANSFER,
]
_LINE = "The appointment is on Thursday at ten; shall I send you a message about it?"


def measure(name: str, url: str) -> Iterator[Result]:
    """The history at `url` is empty, and is full afterwards."""
    numbers = asyncio.run(_fill(name, url))
    with fake_livekit() as env, serving(GATEWAY, env, history=url) as gateway:
        yield from asyncio.run(_ask(name, gateway, numbers))
    yield asyncio.run(_save(name, url))


async def _fill(name: str, url: str) -> list[str]:
    """Some of the calls' numbers."""
    numbers: list[str] = []
    began = time.monotonic()
    now = time.time_ns() // 1_000_000
    async with open_history(HistorySettings(url=url, timeout=300)) as database:
        assert database
        await database.prepare()
        history = History(database)
        template = row_of(_unsaved(_call(0, now)), _call(0, now))
        for first in range(0, CALLS, ROWS):
            rows = [_row(template, number, now) for number in range(first, first + ROWS)]
            numbers.append(rows[0]["from_number"])
            await history.save(rows)
    print(f"      {name}: {CALLS} calls written in {time.monotonic() - began:.0f} s", flush=True)
    return numbers


async def _ask(name: str, gateway: Server, numbers: list[str]) -> list[Result]:
    chance = random.Random(1)  # noqa: S311 - not used for security
    parts = [chance.choice(numbers)[-7:] for _ in range(REQUESTS)]
    queries = {
        "first page": (["include=ended"], 50),
        "a later page": ([f"include=ended&until={await _middle(gateway)}"], 50),
        "page of 200": (["include=ended&limit=200"], math.inf),
        "search, 7 digits of a number": ([f"include=ended&q={part}" for part in parts], 300),
        "search, 4 digits": ([f"include=ended&q={part[-4:]}" for part in parts], 300),
        "search, the beginning of all": (["include=ended&q=1555"], 300),
        "search, nobody": (["include=ended&q=99999999"], 300),
        "search, part of an id": ([f"include=ended&q={uuid.uuid4()}"[:27]], 300),
        "calls that failed": (["disconnection_reason=dial_busy"], 50),
    }
    results: list[Result] = []
    sizes: list[int] = []
    async with aiohttp.ClientSession(gateway.url) as session:
        for label, (choices, limit) in queries.items():
            times = []
            for number in range(REQUESTS):
                query = choices[number % len(choices)]
                times.append(await _timed(session, f"/livekit-api/calls?{query}", sizes))
            detail = f"worst {max(times) * 1000:.0f} ms of {REQUESTS}"
            median = statistics.median(times) * 1000
            results.append(Result(f"{name}: {label}, p50", median, limit, "ms", detail))
        results.append(Result(f"{name}: largest page", max(sizes) / 1000, 100, "KB"))
        first = await _timed(session, "/livekit-api/today", sizes) * 1000
        results.append(Result(f"{name}: today's counts", first, math.inf, "ms"))
    return results


async def _middle(gateway: Server) -> int:
    return time.time_ns() // 1_000_000 - PERIOD // 2


async def _timed(session: aiohttp.ClientSession, path: str, sizes: list[int]) -> float:
    began = time.perf_counter()
    async with session.get(path) as response:
        body = await response.read()
        assert response.status == 200, body
    sizes.append(len(body))
    content = msgspec.json.decode(body)
    assert content["is_complete"], f"the history did not answer in time: {path}"
    return time.perf_counter() - began


async def _save(name: str, url: str) -> Result:
    """The CPU of this process, which has threads as the gateway has, for each call."""
    now = time.time_ns() // 1_000_000
    async with open_history(HistorySettings(url=url, timeout=30)) as database:
        assert database
        await database.prepare()
        history = History(database)
        calls = [_call(CALLS + number, now) for number in range(SAVED)]
        began = time.process_time()
        for first in range(0, SAVED, BATCH):
            batch = calls[first : first + BATCH]
            await history.save([row_of(_unsaved(call), call) for call in batch])
        used = (time.process_time() - began) / SAVED
    return Result(f"{name}: to save a call", used * 1000, 2.0, "ms", "CPU, with its index")


def _row(template: dict[str, Any], number: int, now: int) -> dict[str, Any]:
    """The row of a call, made in a fraction of the time that `row_of()` takes."""
    start = now - PERIOD + number * (PERIOD // CALLS)
    call_id = f"call-{uuid.uuid4()}"
    digits = f"1{random.randrange(2_000_000_000, 9_999_999_999)}"  # noqa: S311 - not for security
    reason = _REASONS[number % len(_REASONS)]
    texts = {
        name: template[name]
        .replace(template["call_id"], call_id)
        .replace(template["from_number"], digits)
        .replace(str(template["start_timestamp"]), str(start))
        for name in ("listed", "record")
    }
    return {
        **template,
        **texts,
        "call_id": call_id,
        "start_timestamp": start,
        "answer_timestamp": start + 2_000,
        "end_timestamp": start + 90_000,
        "disconnection_reason": reason,
        "from_number": digits,
        "search": f"{digits} 15550199 {call_id}",
        "first_audio_ms": 600 + number % 500,
    }


def _call(number: int, now: int) -> Call:
    """With a report of about the usual length."""
    start = now - PERIOD + number
    return Call(
        call_id=f"call-{uuid.uuid4()}",
        direction=Direction.INBOUND,
        agent_name="nehos-outbound-agent",
        start_timestamp=start,
        from_number=f"+1555{number:07}",
        to_number="+15550199",
        account_code="em-tech-01",
        call_status=CallStatus.ENDED,
        answer_timestamp=start + 2_000,
        end_timestamp=start + 90_000,
        disconnection_reason=DisconnectionReason.USER_HANGUP,
        timeline=tuple(TimelineEntry(start + at, EventKind.RINGING) for at in range(12)),
        report={
            "pipeline": "voice",
            "first_audio_ms": 700,
            "transcript": [{"at": start, "role": "agent", "text": _LINE} for _ in range(12)],
            "turns": [{"at": start, "latency_ms": 900} for _ in range(6)],
        },
    )


def _unsaved(call: Call) -> UnsavedCall:
    return UnsavedCall(call.call_id, call, [], revision=1)
