"""Both kinds of stores, the shared one on a real Redis: what is asserted holds for both."""

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from gateway.callbacks.courier import Courier
from gateway.callbacks.delivery import Answer
from gateway.redis.connect import connected
from gateway.redis.database import Database
from gateway.settings import CallbackSettings, Config, RegistrySettings
from gateway.stores import Stores, in_memory, in_redis
from tests.livekit.server import redis_server

START = 1_700_000_000_000
CONFIG = Config(
    registry=RegistrySettings(ended_ttl=60, ended_max=3, timeout=1.0),
    callbacks=CallbackSettings(urls=("https://one.example.com/hook",), give_up_after=60),
)


@dataclass
class Receivers:
    """Stands for whoever hears callbacks: `answers` are given in turn, then 200."""

    answers: deque[int | None] = field(default_factory=deque)
    heard: list[tuple[str, str]] = field(default_factory=list)
    hangs: asyncio.Event | None = None

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        if self.hangs:
            await self.hangs.wait()
        self.heard.append((url, event_id))
        status = self.answers.popleft() if self.answers else 200
        return Answer(status, "" if status == 200 else f"answered {status}")

    async def heard_of(self, number: int) -> list[str]:
        """The ids of what came, once `number` have."""
        async with asyncio.timeout(20):
            while len(self.heard) < number:
                await asyncio.sleep(0.01)
        return [event_id for _, event_id in self.heard]


@dataclass
class Opener:
    """Opens stores; with Redis all that one opener opens share it, as several gateways would."""

    redis: str
    receivers: Receivers
    now: int = START
    prefix: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")
    calls: int = 0

    @asynccontextmanager
    async def opened(self, config: Config = CONFIG) -> AsyncIterator[Stores]:
        courier = Courier(config.callbacks, self.receivers, lambda: self.now)
        how: dict[str, Callable[[], int]] = {"clock": lambda: self.now}
        if not self.redis:
            yield in_memory(config, courier, new_call_id=self._new_call_id, **how)
            return
        async with connected(f"redis://{self.redis}/0", deadline=config.registry.timeout) as client:
            database = Database(client, self.prefix, deadline=config.registry.timeout)
            stores = in_redis(database, config, courier, new_call_id=self._new_call_id, **how)
            tasks = [asyncio.ensure_future(run()) for run in stores.beside]
            try:
                yield stores
            finally:
                for task in tasks:
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await task

    def _new_call_id(self) -> str:
        self.calls += 1
        return f"outbound-{self.calls:010}"


@pytest.fixture(scope="session")
def redis() -> Iterator[str]:
    """The address of a real Redis."""
    with redis_server() as address:
        yield address


@pytest.fixture
def receivers() -> Receivers:
    return Receivers()


@pytest.fixture(params=["memory", "redis"])
def opener(request: pytest.FixtureRequest, receivers: Receivers) -> Opener:
    address = request.getfixturevalue("redis") if request.param == "redis" else ""
    return Opener(address, receivers)


@pytest.fixture
def shared(redis: str, receivers: Receivers) -> Opener:
    """Opens stores that share one Redis."""
    return Opener(redis, receivers)


@pytest.fixture
async def stores(opener: Opener) -> AsyncIterator[Stores]:
    async with opener.opened() as opened:
        yield opened
