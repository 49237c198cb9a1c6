"""Who hears callbacks: refuses or drops some, remembers the order in which all came."""

import hashlib
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.chaos.dice import Dice
from tests.chaos.script import number_of
from tests.fakes.receiver import Receiver

#: The share of deliveries that are refused or dropped.
TROUBLE = 0.1


@dataclass(frozen=True, slots=True)
class Heard:
    """A callback as it came first; `digest` is its body's."""

    event: str
    event_id: str
    digest: bytes
    call: dict[str, Any]


class Audience(Receiver):
    """`told` has, by URL path and call id, each event id once, in the order of arrival."""

    def __init__(self, seed: str) -> None:
        super().__init__()
        self._seed = seed
        self._tries: Counter[str] = Counter()
        self.told: dict[tuple[str, str], list[Heard]] = defaultdict(list)
        self.complaints: list[tuple[str, str]] = []
        self.tally: Counter[str] = Counter()

    async def _receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        told = json.loads(body)
        call, event_id = told["call"], told["event_id"]
        self._note(request.path, Heard(told["event"], event_id, _digest(body), call))
        if request.headers.get("webhook-id") != event_id:
            self.complaints.append((call["call_id"], "webhook-id is not the event's id"))
        number = number_of(call["account_code"])
        name = f"{request.path} {told['event']} {number}"
        self._tries[name] += 1
        roll = Dice(self._seed, number).of("audience", name, self._tries[name])
        self.tally["deliveries"] += 1
        if roll.random() >= TROUBLE:
            return web.Response(status=204)
        self.tally["troubled"] += 1
        if roll.random() < 0.5 and request.transport:
            request.transport.close()
        return web.Response(status=roll.choice([500, 502, 503]))

    def _note(self, path: str, heard: Heard) -> None:
        call_id = heard.call["call_id"]
        before = self.told[path, call_id]
        known = next((one for one in before if one.event_id == heard.event_id), None)
        if known is None:
            before.append(heard)
        elif known.digest != heard.digest:
            said = f"{heard.event_id} came with two bodies: {known.call} and {heard.call}"
            self.complaints.append((call_id, said))


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
