"""Receives callbacks: fails some of them, and remembers the order in which they arrived."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.chaos.scenario import number_of
from tests.chaos.seeded_random import SeededRandom
from tests.fakes.receiver import Receiver

#: The share of deliveries that fail.
FAULT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Callback:
    """A callback as it arrived first; `digest` is that of its body."""

    event: str
    event_id: str
    digest: bytes
    call: dict[str, Any]


class CallbackReceiver(Receiver):
    """`callbacks` has, by URL path and call id, each event once, in the order of arrival."""

    def __init__(self, seed: str) -> None:
        super().__init__()
        self._seed = seed
        self._attempts: Counter[str] = Counter()
        self.callbacks: dict[tuple[str, str], list[Callback]] = defaultdict(list)
        self.problems: list[tuple[str, str]] = []
        self.counts: Counter[str] = Counter()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        payload = json.loads(body)
        call, event_id = payload["call"], payload["event_id"]
        digest = hashlib.sha256(body).digest()
        self._record(request.path, Callback(payload["event"], event_id, digest, call))
        if request.headers.get("webhook-id") != event_id:
            self.problems.append((call["call_id"], "webhook-id is not the event's id"))
        number = number_of(call["account_code"])
        name = f"{request.path} {payload['event']} {number}"
        self._attempts[name] += 1
        rng = SeededRandom(self._seed, number).generator("callback", name, self._attempts[name])
        self.counts["deliveries"] += 1
        if rng.random() >= FAULT_SHARE:
            return web.Response(status=204)
        self.counts["failed"] += 1
        if rng.random() < 0.5 and request.transport:
            request.transport.close()
        return web.Response(status=rng.choice([500, 502, 503]))

    def _record(self, path: str, callback: Callback) -> None:
        call_id = callback.call["call_id"]
        known = self.callbacks[path, call_id]
        first = next((old for old in known if old.event_id == callback.event_id), None)
        if first is None:
            known.append(callback)
        elif first.digest != callback.digest:
            bodies = f"{first.call} and {callback.call}"
            self.problems.append((call_id, f"{callback.event_id} has two bodies: {bodies}"))
