"""Fixtures of all tests: a fake LiveKit and a gateway that uses it; how processes share tests."""

import gc
import inspect
import os
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from typing import Any, NoReturn

import pytest
import structlog
from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from xdist.scheduler import LoadScopeScheduling

from common import resolver
from gateway.app import create_app
from gateway.config.loader import build_config
from gateway.config.settings import LOOPBACK, Config
from gateway.lifecycle import agent_wait
from gateway.tools.simulate.jambonz import Jambonz
from tests.fakes.livekit import KEY, SECRET, FakeLiveKit
from tests.fakes.name_server import NameServer
from tests.fakes.receiver import Receiver

# Linux shares the CPU between sessions (`autogroup`, sched(7)). In the one of all test processes a
# simulated caller would get less than each of the many servers that tests start.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.setsid()
# structlog's default renders an exception in colours, with all variables: half a second for each.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(),
    ]
)
# Until all tests are collected: modules and tests stay, the collector would find nothing.
gc.disable()

WEBHOOK_SECRET = "wh_secret_for_tests"
# Processes that tests start inherit it: they share a folder, and would share the file in it.
os.environ["HISTORY_URL"] = "none"

VIEW_KEY = "view-secret"
READ_KEY = "read-secret"
DISPATCH_KEY = "dispatch-secret"
ADMIN_KEY = "admin-secret"
CALLBACK_SECRET = "whsec_" + "c2VjcmV0" * 5

Client = TestClient[Request, Application]
ConfigMaker = Callable[..., Config]
GatewayStarter = Callable[..., Awaitable[Client]]

#: What begins so runs in one process, in this order: it shares servers that take seconds to start,
#: takes the others' processor, or waits long. The longest chains come first, for the tests are over
#: when the last chain is; of several beginnings the longest counts.
CHAINS = (
    (
        "several/test_killed_dispatch",
        "voice/test_deploy",
        "voice/test_failures",
        "voice/test_interruptions",
        "voice/test_report",
        "voice/test_silence",
        "voice/test_several",
    ),
    ("livekit/",),
    ("chaos/", "livekit/test_worker"),
    ("voice/",),
    ("agent/voice/test_failure",),
    ("agent/voice/",),
    ("history/", "web/test_browser", "web/test_docs_in_browser"),
    ("tools/doctor/", "tools/setup/"),
    ("tools/simulate/",),
    ("n8n_node/",),
    ("monitor/",),
    ("callbacks/",),
    ("outbound/",),
    ("sip/",),
    ("n8n/",),
)


class ChainScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Whichever process is free runs the next of `CHAINS`, then the next single test.

    The third process begins at the other end, where the tests are that wait for nothing: the
    others alone would leave the processor idle while they wait. xdist's own groups
    (`--dist loadgroup`) have no effect in pytest 9.2.
    """

    def _assign_work_unit(self, node: Any) -> None:
        if self.nodes.index(node) == 2:
            self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
        super()._assign_work_unit(node)

    def remove_node(self, node: Any) -> str | None:
        """The test with which `node` crashed, if it did; another process runs what came after it.

        xdist's own method has that test run again, however often it crashes.
        """
        units = self.assigned_work.pop(node)
        unit = next((it for it in units.values() if not all(it.values())), None)
        if unit is None:
            return None
        crashed: str = next(test for test, is_over in unit.items() if not is_over)
        unit[crashed] = True
        self.workqueue.update((scope, it) for scope, it in units.items() if not all(it.values()))
        for other in self.assigned_work:
            self._reschedule(other)
        return crashed

    def _split_scope(self, nodeid: str) -> str:
        link = _link_of(nodeid)
        return f"chain {link[0]}" if link else nodeid


def _link_of(nodeid: str) -> tuple[int, int] | None:
    """Which chain a test belongs to, and which part of it."""
    links = [
        (len(beginning), (number, part))
        for number, chain in enumerate(CHAINS)
        for part, beginning in enumerate(chain)
        if nodeid.startswith(f"tests/{beginning}")
    ]
    return max(links)[1] if links else None


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ChainScheduling:
    config.option.loadscopereorder = False
    return ChainScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need a server, and start what takes long first."""
    for item in items:
        if "server_process" in getattr(item, "fixturenames", ()):
            item.add_marker("server")
    items.sort(key=_start_order)
    repeated = [name for name, times in Counter(it.nodeid for it in items).items() if times > 1]
    assert not repeated, f"xdist runs only one of several tests with one id: {repeated}"


def pytest_collection_finish() -> None:
    """What has been collected stays: the garbage collector need not look through it each time."""
    gc.freeze()
    gc.enable()


def _start_order(item: pytest.Item) -> tuple[int, ...]:
    waits = any(item.get_closest_marker(name) for name in ("server", "conversation"))
    is_busy = not inspect.iscoroutinefunction(getattr(item, "function", None))
    return _link_of(item.nodeid) or (len(CHAINS), not waits, is_busy)


@pytest.fixture(scope="session")
def server_process() -> None:
    """Requested by fixtures that start a server: the tests that use them get the mark `server`."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that starts a process without the mark: `make check` would run it.

    Also one whose shared fixture starts it, which no fixture of the test itself would see.
    """

    def refuse(*command: object, **_: object) -> NoReturn:
        pytest.fail(f"this test starts a process, so mark it `server`: {command}")

    with pytest.MonkeyPatch.context() as patch:
        if item.get_closest_marker("server") is None:
            patch.setattr(subprocess, "Popen", refuse)
        return (yield)


@pytest.fixture(autouse=True)
def _no_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no real name server: at this one nothing listens."""
    monkeypatch.setattr(resolver, "NAME_SERVERS", [f"{LOOPBACK}:9"])


@pytest.fixture
async def name_server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[NameServer]:
    """The name server of the gateways that the test starts after it."""
    async with NameServer().serving() as server:
        monkeypatch.setattr(resolver, "NAME_SERVERS", [server.address])
        yield server


def skip_unless_ci(reason: str) -> NoReturn:
    """Skip the test, for a server that it needs is not installed; with CI=true fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}; CI does not pass without it")
    pytest.skip(reason)


@pytest.fixture
async def fake_livekit() -> AsyncIterator[FakeLiveKit]:
    async with FakeLiveKit().serving() as livekit:
        yield livekit


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().serving() as receiver:
        yield receiver


@pytest.fixture
def make_config(fake_livekit: FakeLiveKit) -> ConfigMaker:
    """Makes configurations with the fake LiveKit; sections by keyword, as in config.yaml."""

    def make(env: dict[str, str] | None = None, **sections: Any) -> Config:
        return config_for(fake_livekit.url, env, **sections)

    return make


def config_for(livekit_url: str, env: dict[str, str] | None = None, **sections: Any) -> Config:
    """A configuration for tests; `sections` and `env` are added to it."""
    environment = {
        "LIVEKIT_URL": livekit_url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": SECRET,
        "LIVEKIT_SIP_HOST": "sip.example.com",
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GATEWAY_API_KEYS": f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY},"
        f"wall:view:{VIEW_KEY},boss:admin:{ADMIN_KEY}",
        "SIP_OUTBOUND_TRUNK_ID": "ST_1",
        "CALLBACK_SECRET": CALLBACK_SECRET,
    }
    # A gateway that stops would wait for receivers that do not respond.
    callbacks = {"flush_timeout": 0.1, **sections.get("callbacks", {})}
    history = {"url": "none", **sections.get("history", {})}
    content = {**sections, "callbacks": callbacks, "history": history}
    return build_config(content, environment | (env or {}))


@pytest.fixture
def start_gateway(
    make_config: ConfigMaker, aiohttp_client: Any, monkeypatch: pytest.MonkeyPatch
) -> GatewayStarter:
    """Starts gateways in this process; the arguments are those of `make_config`.

    They ask at once whether the agent can be heard, for the fake LiveKit sends no webhooks.
    """
    monkeypatch.setattr(agent_wait, "FIRST_QUESTION", 0.01)

    async def start(env: dict[str, str] | None = None, **sections: Any) -> Client:
        client: Client = await aiohttp_client(create_app(make_config(env, **sections)))
        return client

    return start


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway()


def jambonz_for(
    client: Client,
    *,
    secret: str = WEBHOOK_SECRET,
    from_number: str = "+15550100",
    to_number: str = "+15550199",
) -> Jambonz:
    """A call in Jambonz whose hooks go to the gateway of `client`."""
    url = str(client.make_url("")).rstrip("/")
    return Jambonz(client.session, url, secret, from_number, to_number)


async def list_calls(client: Client, query: str = "") -> dict[str, Any]:
    """The response of `GET /livekit-api/calls`."""
    return await _get(client, f"/livekit-api/calls{query}")


async def get_call(client: Client, call_id: str) -> dict[str, Any]:
    """The response of `GET /livekit-api/calls/{call_id}`."""
    return await _get(client, f"/livekit-api/calls/{call_id}")


async def _get(client: Client, path: str) -> dict[str, Any]:
    async with client.get(path, headers={"X-API-Key": READ_KEY}) as response:
        assert response.status == 200, await response.text()
        content: dict[str, Any] = await response.json()
        return content
