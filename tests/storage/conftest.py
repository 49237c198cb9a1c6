"""Both kinds of stores, the shared one on a real Redis: what is asserted holds for both."""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.callbacks import delivery
from gateway.callbacks.delivery import Answer
from gateway.callbacks.delivery_loop import Deliverer
from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.config.settings import CallbackSettings, Config, OutboundSettings, StorageSettings
from gateway.lifecycle.deadlines import Deadlines
from gateway.storage.redis import feed as redis_feed
from gateway.storage.redis.connect import Client, connected
from gateway.storage.redis.database import Database
from gateway.storage.registry import CallRegistry
from gateway.storage.stores import StorageBackend, memory_backend, redis_backend
from tests.livekit.server import redis_server

START = 1_700_000_000_000
HOOK = "https://one.example.com/hook"
CONFIG = Config(
    storage=StorageSettings(ended_ttl=60, ended_max=3, timeout=4.0),
    callbacks=CallbackSettings(urls=(HOOK,), give_up_after=60),
    outbound=OutboundSettings(idempotency_ttl=60),
)
#: What a call that is answered, ends and is reported tells its receivers.
STORY = ["call_started", "call_ended", "call_analyzed"]


def call(number: int, **fields: object) -> Call:
    known: dict[str, object] = {
        "call_id": f"call-{number:04}",
        "direction": Direction.INBOUND,
        "agent_name": "agent",
        "start_timestamp": START + number,
        "jambonz": {"call_sid": f"sid-{number}"},
        "agent_came": True,
    }
    return Call(**known | fields)  # type: ignore[arg-type]


async def live_through(registry: CallRegistry, number: int, **fields: object) -> Call:
    """A call from its beginning to its report; `fields` are the call's."""
    added = (await registry.add(call(number, **fields))).call
    for kind in (EventKind.ANSWERED, EventKind.AGENT_FAILED, EventKind.REPORT_MISSED):
        await registry.apply(added.call_id, Event(kind, START + number))
    return added


def story_of(*numbers: int) -> list[str]:
    """The ids of the events that `live_through()` tells."""
    return [f"evt_call-{number:04}_{event}" for number in numbers for event in STORY]


@dataclass
class Receivers:
    """Stand for whoever hears callbacks: `answers` are given in turn, then 200.

    Those of `hanging` answer once their event is set.
    """

    answers: deque[int | None] = field(default_factory=deque)
    asked: list[tuple[str, str]] = field(default_factory=list)
    heard: list[tuple[str, str]] = field(default_factory=list)
    hanging: dict[str, asyncio.Event] = field(default_factory=dict)

    def hang(self, url: str = HOOK) -> asyncio.Event:
        return self.hanging.setdefault(url, asyncio.Event())

    async def reached(self, url: str, event_id: str) -> None:
        self.asked.append((url, event_id))
        if url in self.hanging:
            await self.hanging[url].wait()

    def take(self, url: str, event_id: str) -> Answer:
        status = self.answers.popleft() if self.answers else 200
        self.heard.append((url, event_id))
        return Answer(status, "" if status == 200 else f"answered {status}")

    async def heard_of(self, number: int, url: str = HOOK) -> list[str]:
        """The ids of what `url` heard, once `number` have come."""
        async with asyncio.timeout(20):
            while len(self._at(url)) < number:
                await asyncio.sleep(0.01)
        return self._at(url)

    async def were_asked(self, number: int) -> None:
        """Wait until `number` callbacks are on their way, or were."""
        async with asyncio.timeout(20):
            while len(self.asked) < number:
                await asyncio.sleep(0.01)

    def _at(self, url: str) -> list[str]:
        return [event_id for to, event_id in self.heard if to == url]


@dataclass
class Line:
    """One gateway's way to the receivers; once `dead` nothing it sends arrives."""

    receivers: Receivers
    beside: list[asyncio.Task[None]] = field(default_factory=list)
    dead: bool = False

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        if not self.dead:
            await self.receivers.reached(url, event_id)
        if self.dead:
            await asyncio.Event().wait()
        return self.receivers.take(url, event_id)


@dataclass
class Opener:
    """Opens stores, with the URL of a Redis there, else in memory.

    With Redis all that one opener opens share it, as several gateways would. `twice`: whatever is
    asked of Redis is asked twice, as if the first answer had been lost.
    """

    redis: str
    receivers: Receivers
    twice: bool = False
    now: int = START
    prefix: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    calls: int = 0
    lines: dict[int, Line] = field(default_factory=dict)

    @asynccontextmanager
    async def opened(self, config: Config = CONFIG) -> AsyncIterator[StorageBackend]:
        line = Line(self.receivers)
        deliverer = Deliverer(config.callbacks, line, lambda: self.now)
        how: dict[str, Callable[[], int]] = {"clock": lambda: self.now}
        if not self.redis:
            stores = memory_backend(
                config,
                deliverer,
                deadline=Deadlines(config).next,
                new_call_id=self._new_call_id,
                **how,
            )
            yield stores
            await stores.outbox.close(grace=0)
            return
        async with self.database(config.storage.timeout) as database:
            stores = redis_backend(
                database,
                config,
                deliverer,
                deadline=Deadlines(config).next,
                new_call_id=self._new_call_id,
                **how,
            )
            line.beside = [asyncio.ensure_future(run()) for run in stores.beside]
            self.lines[id(stores)] = line
            try:
                yield stores
            finally:
                await _cancel(line)
                await stores.outbox.close(grace=0)

    @asynccontextmanager
    async def database(self, deadline: float = 1.0) -> AsyncIterator[Database]:
        async with connected(self.redis, deadline=deadline) as client:
            if self.twice:
                _ask_twice(client)
            yield Database(client, self.prefix, deadline=deadline)

    async def kill(self, stores: StorageBackend) -> None:
        """As by kill -9: it says nothing more to anybody, and hands nothing over."""
        self.lines[id(stores)].dead = True
        await _cancel(self.lines[id(stores)])

    def _new_call_id(self) -> str:
        self.calls += 1
        return f"outbound-{self.calls:010}"


async def _cancel(line: Line) -> None:
    for task in line.beside:
        task.cancel()
    await asyncio.gather(*line.beside, return_exceptions=True)


def _ask_twice(client: Client) -> None:
    """But for reads of the outbox: an answer of theirs that is lost is found again much later."""
    ask = client.execute_command

    async def twice(*words: Any) -> Any:
        if words[0] not in ("XREADGROUP", "XAUTOCLAIM"):
            await ask(*words)
        return await ask(*words)

    client.execute_command = twice  # type: ignore[method-assign]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of seconds would make these tests wait for nothing."""
    monkeypatch.setattr(delivery, "LONGEST_BACKOFF", 0.02)
    monkeypatch.setattr(redis_feed, "LOOK_EVERY", 0.02)


@pytest.fixture(scope="session")
def redis(server_process: None) -> Iterator[str]:
    """The URL of a real Redis."""
    with redis_server() as address:
        yield f"redis://{address}/0"


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


WITH_REDIS = ("redis", "redis, each request repeated")


@pytest.fixture(
    params=["memory", *(pytest.param(name, marks=pytest.mark.server) for name in WITH_REDIS)]
)
def opener(request: pytest.FixtureRequest, receivers: Receivers) -> Opener:
    if request.param == "memory":
        return Opener("", receivers)
    return Opener(request.getfixturevalue("redis"), receivers, twice="repeated" in request.param)


@pytest.fixture
def shared(redis: str, receivers: Receivers) -> Opener:
    """Opens stores that share one Redis."""
    return Opener(redis, receivers)


@pytest.fixture
async def stores(opener: Opener) -> AsyncIterator[StorageBackend]:
    async with opener.opened() as opened:
        yield opened


def repeats(ids: list[str]) -> dict[str, int]:
    """What came more than once."""
    return {event_id: number for event_id, number in Counter(ids).items() if number > 1}
