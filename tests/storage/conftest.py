"""Both storage backends, Redis as a real server: what a test asserts holds for each of them."""

import asyncio
import secrets
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.callbacks import delivery
from gateway.callbacks.delivery import Answer
from gateway.callbacks.events import CallbackEvent
from gateway.calls.call import Call, Direction, Event, EventKind
from gateway.config.settings import (
    CallbackSettings,
    Config,
    HistorySettings,
    OutboundSettings,
    StorageSettings,
)
from gateway.lifecycle.call_metrics import new_metrics
from gateway.lifecycle.deadlines import Deadlines
from gateway.storage.backend import StorageBackend
from gateway.storage.memory.backend import memory_backend
from gateway.storage.redis import feed as redis_feed
from gateway.storage.redis.backend import redis_backend
from gateway.storage.redis.connect import Client, connected
from gateway.storage.redis.database import Database
from gateway.storage.registry import CallRegistry
from tests.fakes.clock import clock_showing
from tests.livekit.server import redis_server

START = 1_700_000_000_000
HOOK = "https://one.example.com/hook"
CONFIG = Config(
    storage=StorageSettings(ended_ttl=60, ended_max=3, timeout=4.0),
    callbacks=CallbackSettings(urls=(HOOK,), give_up_after=60),
    outbound=OutboundSettings(idempotency_ttl=60),
    history=HistorySettings(url=""),
)
#: The callbacks of a call that is answered, ends and is reported.
EVENTS = [CallbackEvent.CALL_STARTED, CallbackEvent.CALL_ENDED, CallbackEvent.CALL_ANALYZED]


def call(number: int, **fields: object) -> Call:
    defaults: dict[str, object] = {
        "call_id": f"call-{number:04}",
        "direction": Direction.INBOUND,
        "agent_name": "agent",
        "start_timestamp": START + number,
        "jambonz": {"call_sid": f"sid-{number}"},
        "agent_came": True,
    }
    return Call(**defaults | fields)  # type: ignore[arg-type]  # the tests name fields rightly


async def complete_call(registry: CallRegistry, number: int, **fields: object) -> Call:
    """Register a call with these `fields`, and apply events up to its report."""
    added = (await registry.add(call(number, **fields))).call
    for kind in (EventKind.ANSWERED, EventKind.AGENT_FAILED, EventKind.REPORT_MISSED):
        await registry.apply(added.call_id, Event(kind, START + number))
    return added


def event_ids(*numbers: int) -> list[str]:
    """The ids of the callbacks that `complete_call()` causes."""
    return [f"evt_call-{number:04}_{event}" for number in numbers for event in EVENTS]


def repeated(ids: list[str]) -> dict[str, int]:
    """The ids that occur more than once, and how often."""
    return {event_id: number for event_id, number in Counter(ids).items() if number > 1}


@dataclass
class Receivers:
    """The receivers of callbacks: they respond with `statuses` in turn, then with 200.

    Before that sending to them raises each of `errors`.
    `attempts` and `responded` are pairs of URL and event id. A receiver of `blocked` responds once
    its event is set.
    """

    errors: deque[Exception] = field(default_factory=deque)
    statuses: deque[int | None] = field(default_factory=deque)
    attempts: list[tuple[str, str]] = field(default_factory=list)
    responded: list[tuple[str, str]] = field(default_factory=list)
    blocked: dict[str, asyncio.Event] = field(default_factory=dict)

    def block(self, url: str = HOOK) -> asyncio.Event:
        return self.blocked.setdefault(url, asyncio.Event())

    async def receive(self, url: str, event_id: str) -> None:
        self.attempts.append((url, event_id))
        if self.errors:
            raise self.errors.popleft()
        if url in self.blocked:
            await self.blocked[url].wait()

    def respond(self, url: str, event_id: str) -> Answer:
        status = self.statuses.popleft() if self.statuses else 200
        self.responded.append((url, event_id))
        return Answer(status, "" if status == 200 else f"answered {status}")

    async def event_ids(self, number: int, url: str = HOOK) -> list[str]:
        """The ids that `url` responded to, once there are `number` of them."""
        async with asyncio.timeout(45):
            while len(self._event_ids(url)) < number:
                await asyncio.sleep(0.01)
        return self._event_ids(url)

    async def attempted(self, number: int) -> None:
        """Wait until there were `number` attempts."""
        async with asyncio.timeout(45):
            while len(self.attempts) < number:
                await asyncio.sleep(0.01)

    def _event_ids(self, url: str) -> list[str]:
        return [event_id for to, event_id in self.responded if to == url]


@dataclass
class GatewayTransport:
    """What one gateway sends callbacks with; once the gateway `is_dead` nothing arrives."""

    receivers: Receivers
    background: list[asyncio.Future[None]] = field(default_factory=list)
    is_dead: bool = False

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        if not self.is_dead:
            await self.receivers.receive(url, event_id)
        if self.is_dead:
            await asyncio.Event().wait()
        return self.receivers.respond(url, event_id)

    async def stop_background(self) -> None:
        for task in self.background:
            task.cancel()
        await asyncio.gather(*self.background, return_exceptions=True)


@dataclass
class StorageOpener:
    """Opens a storage for each gateway: shared, in the Redis at `redis_url`, or else in memory.

    With `repeats_commands` Redis gets every command twice, as if the first reply had been lost.
    """

    redis_url: str
    receivers: Receivers
    repeats_commands: bool = False
    now: int = START
    prefix: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    call_ids: int = 0
    transports: dict[int, GatewayTransport] = field(default_factory=dict)

    @asynccontextmanager
    async def opened(self, config: Config = CONFIG) -> AsyncIterator[StorageBackend]:
        transport = GatewayTransport(self.receivers)
        if not self.redis_url:
            storage = memory_backend(
                config,
                transport,
                deadline=Deadlines(config).next,
                new_call_id=self._new_call_id,
                clock=clock_showing(lambda: self.now),
                metrics=new_metrics(),
            )
            yield storage
            await storage.outbox.close(grace=0)
            return
        async with self.database(config.storage.timeout) as database:
            storage = redis_backend(
                database,
                config,
                transport,
                deadline=Deadlines(config).next,
                new_call_id=self._new_call_id,
                clock=clock_showing(lambda: self.now),
                metrics=new_metrics(),
            )
            transport.background = [asyncio.ensure_future(run()) for run in storage.background]
            self.transports[id(storage)] = transport
            try:
                yield storage
            finally:
                await transport.stop_background()
                await storage.outbox.close(grace=0)

    @asynccontextmanager
    async def database(self, redis_timeout: float = 1.0) -> AsyncIterator[Database]:
        async with connected(self.redis_url, connect_timeout=redis_timeout) as client:
            if self.repeats_commands:
                _repeat_commands(client)
            yield Database(client, self.prefix, timeout=redis_timeout)

    async def kill(self, storage: StorageBackend) -> None:
        """As `kill -9` of its gateway: it sends nothing more and releases nothing."""
        transport = self.transports[id(storage)]
        transport.is_dead = True
        await transport.stop_background()

    def _new_call_id(self) -> str:
        self.call_ids += 1
        return f"outbound-{self.call_ids:010}"


def _repeat_commands(client: Client) -> None:
    """All but reads of the outbox: entries whose reply is lost are claimed much later."""
    execute = client.execute_command

    async def execute_twice(*command: Any) -> Any:
        if command[0] not in ("XREADGROUP", "XAUTOCLAIM"):
            await execute(*command)
        return await execute(*command)

    client.execute_command = execute_twice  # type: ignore[method-assign]  # that is its purpose


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LONGEST_BACKOFF", 0.02)
    monkeypatch.setattr(redis_feed, "POLL_INTERVAL", 0.02)


@pytest.fixture(scope="session")
def redis_url(server_process: None) -> Iterator[str]:
    """The URL of a real Redis."""
    with redis_server() as address:
        yield f"redis://{address}/0"


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


WITH_REDIS = ("redis", "redis, each command repeated")


@pytest.fixture(
    params=["memory", *(pytest.param(name, marks=pytest.mark.server) for name in WITH_REDIS)]
)
def opener(request: pytest.FixtureRequest, receivers: Receivers) -> StorageOpener:
    if request.param == "memory":
        return StorageOpener("", receivers)
    url = request.getfixturevalue("redis_url")
    return StorageOpener(url, receivers, repeats_commands="repeated" in request.param)


@pytest.fixture
def shared(redis_url: str, receivers: Receivers) -> StorageOpener:
    """Opens storage that several gateways share."""
    return StorageOpener(redis_url, receivers)


@pytest.fixture
async def storage(opener: StorageOpener) -> AsyncIterator[StorageBackend]:
    async with opener.opened() as opened:
        yield opened


@pytest.fixture
async def database(shared: StorageOpener) -> AsyncIterator[Database]:
    """The Redis behind `shared`, for a look at what is stored."""
    async with shared.database() as opened:
        yield opened
