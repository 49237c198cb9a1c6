"""Readiness: one check for all who ask, in words that tell strangers nothing."""

import asyncio

import pytest
from livekit.protocol.room import ListRoomsRequest

from gateway.errors import LiveKitRefused, LiveKitUnreachable, StorageUnavailable
from gateway.monitor import readiness
from gateway.monitor.readiness import Condition, Readiness
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, jambonz_for
from tests.fakes.livekit import FakeLiveKit, Hang, TwirpError

pytestmark = pytest.mark.field("D6")


class Part:
    """Counts its checks, which end once `may_end` is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.checks = 0
        self.may_end = asyncio.Event()
        self._error = error

    async def check(self) -> None:
        self.checks += 1
        await self.may_end.wait()
        if self._error:
            raise self._error


async def test_however_many_ask_there_is_one_check() -> None:
    part = Part()
    shared = Readiness({"livekit": part.check})
    asking = [asyncio.create_task(shared.states()) for _ in range(300)]
    await asyncio.sleep(0)
    asking[0].cancel()  # a client that goes takes nobody's answer with it
    part.may_end.set()
    _, *results = await asyncio.gather(*asking, return_exceptions=True)
    assert all(result is results[0] for result in results)
    await shared.states()
    assert part.checks == 1


async def test_a_result_is_used_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "INTERVAL", 0.0)
    part = Part()
    part.may_end.set()
    shared = Readiness({"livekit": part.check})
    for _ in range(2):
        await shared.states()
    assert part.checks == 2


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (None, Condition.OK),
        (LiveKitUnreachable("no connection to livekit.example.com"), Condition.UNAVAILABLE),
        (LiveKitRefused("unauthenticated", "invalid key", status=401), Condition.REFUSED),
        (StorageUnavailable("Redis: no answer in time"), Condition.UNAVAILABLE),
    ],
)
async def test_each_part_has_its_word(error: Exception | None, condition: Condition) -> None:
    part = Part(error)
    part.may_end.set()
    state = (await Readiness({"storage": part.check}).states())["storage"]
    assert (state.condition, state.detail) == (condition, str(error or ""))


async def checks(gateway: Client, key: str = "") -> tuple[int, dict[str, str]]:
    headers = {"X-API-Key": key} if key else {}
    async with gateway.get("/readyz", headers=headers) as answer:
        content: dict[str, dict[str, str]] = await answer.json()
        return answer.status, content["checks"]


@pytest.mark.parametrize("key", ["", "wrong", READ_KEY, DISPATCH_KEY])
async def test_only_clients_with_a_key_are_told_why(
    gateway: Client, fake_livekit: FakeLiveKit, key: str
) -> None:
    fake_livekit.failures.append(TwirpError(401, "unauthenticated", "invalid API key"))
    status, parts = await checks(gateway, key)
    assert status == 503
    assert (parts["storage"], parts["draining"]) == ("ok", "ok")
    if key in {READ_KEY, DISPATCH_KEY}:
        assert "invalid API key" in parts["livekit"]
    else:
        assert parts["livekit"] == "refused"


async def test_anonymous_clients_that_ask_keep_no_caller_out(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    """Not even with one connection for hooks, while LiveKit does not answer the check."""
    gateway = await start_gateway(livekit={"connections": 1})
    fake_livekit.failures.append(Hang())
    asking = [asyncio.create_task(checks(gateway)) for _ in range(300)]
    async with asyncio.timeout(10):
        while not fake_livekit.requested(ListRoomsRequest):
            await asyncio.sleep(0.01)
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
    assert {status for status, _ in await asyncio.gather(*asking)} <= {200, 503}
    # One check of the hundreds, which is made once more on a new connection.
    assert len(fake_livekit.requested(ListRoomsRequest)) <= 4
