"""Redis is stopped, or killed and started again with its data, while calls are under way."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from gateway.callbacks import delivery
from gateway.config.settings import LOOPBACK
from gateway.tools.simulate.jambonz import HookRefused
from tests.api.test_dispatch import HEADERS, dispatch
from tests.api.test_livekit import AGENT, SIP, send, tell, webhook
from tests.conftest import READ_KEY, Client, GatewayStarter, get_call, jambonz_for
from tests.fakes.livekit import Callee, FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.livekit.server import redis_process
from tests.ports import free_port

FALLBACK = [{"say": "Please call again later."}]
#: In s. A busy machine may pause Redis for less.
TIMEOUT = 1.5
#: No answer may take longer, in s: a few of the registry's time-outs.
SOON = 5 * TIMEOUT


class Redis:
    """One that keeps what it is told at once, and that can be taken away."""

    def __init__(self, folder: Path, how: str) -> None:
        self._how = how
        self._port = free_port()
        keep = ["--dir", str(folder), "--appendonly", "yes", "--appendfsync", "always"]
        self._options = ["--bind", LOOPBACK, "--port", str(self._port), "--save", "", *keep]
        self._stack = ExitStack()
        self._child = self._stack.enter_context(redis_process(*self._options))

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self._port}/0"

    def goes(self) -> None:
        os.kill(self._child.pid, signal.SIGSTOP if self._how == "stopped" else signal.SIGKILL)

    def comes_back(self) -> None:
        if self._how == "stopped":
            os.kill(self._child.pid, signal.SIGCONT)
        else:
            self._child.stop()
            self._child = self._stack.enter_context(redis_process(*self._options))

    def close(self) -> None:
        if self._child.is_alive:
            os.kill(self._child.pid, signal.SIGCONT)
        self._stack.close()


@pytest.fixture(params=["stopped", "killed"])
def redis(server_process: None, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Redis]:
    started = Redis(tmp_path, request.param)
    yield started
    started.close()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LONGEST_BACKOFF", 0.02)


Starter = Callable[[], Any]


@pytest.fixture
def start(redis: Redis, start_gateway: GatewayStarter, receiver: Receiver) -> Starter:
    """Starts one of several gateways."""

    async def started() -> Client:
        return await start_gateway(
            {"REDIS_URL": redis.url},
            storage={"timeout": TIMEOUT},
            monitor={"interval": 0.05},
            inbound={"fallback": FALLBACK},
            callbacks={
                "allowed_hosts": [LOOPBACK],
                "urls": [f"{receiver.url}/all"],
                "report_timeout": 0.1,
            },
        )

    return started


@pytest.fixture
async def gateway(start: Starter, capsys: pytest.CaptureFixture[str]) -> AsyncIterator[Client]:
    yield await start()
    assert "Traceback" not in capsys.readouterr().out


async def asked(gateway: Client, method: str, path: str, key: str = READ_KEY) -> tuple[int, Any]:
    async with (
        asyncio.timeout(SOON),
        gateway.request(method, path, headers={"X-API-Key": key}) as answer,
    ):
        return answer.status, await answer.json()


async def is_ready(gateway: Client) -> None:
    async with asyncio.timeout(20):
        while (await asked(gateway, "GET", "/readyz"))[0] != 200:
            await asyncio.sleep(0.05)


async def test_new_calls_are_refused_properly(redis: Redis, gateway: Client) -> None:
    redis.goes()
    async with asyncio.timeout(SOON):
        (say, *_) = await jambonz_for(gateway).call_arrives()
    assert say["verb"] == "say"
    async with asyncio.timeout(SOON):
        status, refusal = await dispatch(gateway)
    assert (status, refusal["error"]) == (503, "storage_unavailable")
    async with asyncio.timeout(SOON):
        status, refusal = await dispatch(gateway, idempotency_key="key")
    assert (status, refusal["error"]) == (503, "storage_unavailable")
    for path in ("/livekit-api/calls", "/livekit-api/calls/call-1"):
        status, refusal = await asked(gateway, "GET", path)
        assert (status, refusal["error"]) == (503, "storage_unavailable")
    status, state = await asked(gateway, "GET", "/readyz")
    assert status == 503
    assert state["checks"]["livekit"] == "ok"
    assert state["checks"]["storage"].startswith("Redis: ")
    redis.comes_back()
    await is_ready(gateway)
    (dial,) = await jambonz_for(gateway).call_arrives()
    assert dial["verb"] == "dial"
    assert (await dispatch(gateway, idempotency_key="key"))[0] == 200


async def test_a_retry_after_is_named(redis: Redis, gateway: Client) -> None:
    redis.goes()
    async with (
        asyncio.timeout(SOON),
        gateway.get("/livekit-api/calls", headers={"X-API-Key": READ_KEY}) as answer,
    ):
        assert answer.headers["Retry-After"] == "1"


async def test_what_happens_meanwhile_is_made_up_for(
    redis: Redis, gateway: Client, start: Starter, receiver: Receiver, fake_livekit: FakeLiveKit
) -> None:
    other = await start()
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    redis.goes()
    async with asyncio.timeout(SOON):
        for body in (webhook("participant_joined", call_id, AGENT), webhook("x", call_id, SIP)):
            assert await send(gateway, "/livekit/webhook", body) == 204
        await jambonz.far_status("in-progress")
        assert await jambonz.dial_ends(dial["actionHook"], "completed", "completed", 200) == []
        await jambonz.status("completed", call_termination_by="caller")
        left = webhook("participant_left", call_id, SIP, attributes={"sip.ruleID": "SDR_1"})
        assert await send(gateway, "/livekit/webhook", left) == 204
    assert receiver.events == []
    redis.comes_back()
    await receiver.received(3)
    assert receiver.events == ["call_started", "call_ended", "call_analyzed"]
    call = await get_call(other, call_id)
    assert call["disconnection_reason"] == "user_hangup"
    kinds = [entry["event"] for entry in call["timeline"]]
    # What one sender reported is in its order; between LiveKit and Jambonz there is none.
    assert kinds.index("answered") < kinds.index("hung_up")
    assert kinds.index("agent_joined") < kinds.index("caller_left")
    async with asyncio.timeout(20):
        while call_id in fake_livekit.rooms:
            await asyncio.sleep(0.05)
    assert len(receiver.raw) == 3


async def test_the_agent_keeps_its_report_meanwhile(redis: Redis, gateway: Client) -> None:
    """It comes again with it, and keeps it on disk; here it would wait in memory only."""
    (dial,) = await jambonz_for(gateway).call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    redis.goes()
    assert await tell(gateway, call_id, "agent_ready") == 503
    redis.comes_back()
    async with asyncio.timeout(SOON):
        while await tell(gateway, call_id, "agent_ready") != 204:
            await asyncio.sleep(0.05)


async def test_a_dial_that_failed_is_handed_on(redis: Redis, gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    redis.goes()
    async with asyncio.timeout(SOON):
        (say, *_) = await jambonz.dial_ends(dial["actionHook"], "in-progress", "failed", 503)
        assert say["verb"] == "say"
        await jambonz.status("completed", call_termination_by="caller")
    redis.comes_back()
    async with asyncio.timeout(20):
        while (call := await shown_or_none(gateway, dial)) is None or call["end_timestamp"] is None:
            await asyncio.sleep(0.05)
    assert call["disconnection_reason"] == "telephony_provider_unavailable"


async def shown_or_none(gateway: Client, dial: dict[str, Any]) -> Any:
    status, call = await asked(gateway, "GET", f"/livekit-api/calls/{dial['headers']['X-Call-Id']}")
    return call if status == 200 else None


async def test_a_refer_is_refused_and_the_talk_goes_on(redis: Redis, gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    (dial,) = await jambonz.call_arrives()
    await jambonz.far_status("in-progress")
    redis.goes()
    async with asyncio.timeout(SOON):
        with pytest.raises(HookRefused, match="answered 503"):
            await jambonz.refers(dial["referHook"], "<tel:+61491570156>")
    call_id = dial["headers"]["X-Call-Id"]
    for action in ("hangup", "transfer"):
        path = f"/livekit-api/calls/{call_id}/{action}"
        status, _ = await asked(gateway, "POST", path, HEADERS["X-API-Key"])
        assert status == 503
    redis.comes_back()
    await is_ready(gateway)
    assert (await get_call(gateway, call_id))["call_status"] == "ongoing"


async def test_a_parked_caller_hears_music_still(redis: Redis, gateway: Client) -> None:
    jambonz = jambonz_for(gateway)
    redis.goes()
    async with asyncio.timeout(SOON):
        (play, *_) = await jambonz.waits("/livekit-api/queue-wait?call_id=call-1")
        assert play["verb"] == "play"
        hook = "/livekit-api/queue-action?call_id=call-1"
        assert await jambonz.queue_ends(hook, "completed", "hangup") == []
        (say, *_) = await jambonz.queue_ends(hook, "in-progress", "leave")
    assert say["verb"] == "say"


async def test_a_dial_under_way_goes_on(
    redis: Redis, gateway: Client, receiver: Receiver, fake_livekit: FakeLiveKit
) -> None:
    answers = asyncio.Event()
    fake_livekit.callees["61402012298"] = Callee(rings=answers)
    status, answer = await dispatch(gateway, wait="none")
    assert status == 200
    redis.goes()
    assert (await asked(gateway, "GET", "/readyz"))[0] == 503
    answers.set()
    async with asyncio.timeout(SOON):
        while not fake_livekit.participants.get(answer["call_id"]):
            await asyncio.sleep(0.01)
    redis.comes_back()
    await receiver.received(1)
    assert receiver.events == ["call_started"]
    assert (await get_call(gateway, answer["call_id"]))["call_status"] == "ongoing"


async def test_callbacks_go_on_each_once(
    redis: Redis, gateway: Client, start: Starter, receiver: Receiver
) -> None:
    await start()
    receiver.answer = lambda _: 503
    calls = []
    for _ in range(5):
        jambonz = jambonz_for(gateway)
        (dial,) = await jambonz.call_arrives()
        await jambonz.far_status("in-progress")
        await jambonz.status("completed", call_termination_by="caller")
        calls.append(dial["headers"]["X-Call-Id"])
    await receiver.received(10)
    redis.goes()
    receiver.answer = lambda _: 200
    assert (await asked(gateway, "GET", "/readyz"))[0] == 503
    redis.comes_back()
    async with asyncio.timeout(20):
        while len(receiver.bodies) < 15:
            await asyncio.sleep(0.05)
    for call_id in calls:
        heard = [body["event"] for body in receiver.bodies if body["call"]["call_id"] == call_id]
        assert heard == ["call_started", "call_ended", "call_analyzed"]
    await is_ready(gateway)


async def test_a_gateway_stops_without_redis(
    redis: Redis, start: Starter, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway = await start()
    jambonz = jambonz_for(gateway)
    await jambonz.call_arrives()
    redis.goes()
    async with asyncio.timeout(SOON):
        await jambonz.status("completed", call_termination_by="caller")
        await gateway.close()
    output = capsys.readouterr().out
    assert "storage.writes_lost" in output
    assert "Traceback" not in output
