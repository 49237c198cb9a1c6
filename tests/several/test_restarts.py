"""A gateway stops or is killed during calls: nginx sends all hooks to one that responds.

The simulated Jambonz does not repeat hooks itself: nginx' repetition has to do.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from gateway.jambonz.urls import RETRY
from gateway.tools.simulate.jambonz import HookRefused
from tests.several.calls import whole_call
from tests.several.group import LIMIT, Gateway, Group

EVENTS = ["call_started", "call_ended", "call_analyzed"]
#: The pause between two hooks of a call, and between the starts of two calls, in s.
HOOK_PAUSE = 0.2
CALL_INTERVAL = 0.05


@dataclass
class Traffic:
    """Calls that start and end all the time. A task of `calls` raises what its first hook raises
    that fails. `dispatches` are statuses and call ids.
    """

    group: Group
    calls: list[asyncio.Task[str]] = field(default_factory=list)
    dispatches: list[tuple[int, str]] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start calls while in the context; all of them are over when it is left."""
        source = asyncio.create_task(self._start_calls())
        try:
            yield
        finally:
            source.cancel()
            await asyncio.wait([source])
        if not source.cancelled() and (error := source.exception()):
            raise error
        await asyncio.gather(*self.calls)

    async def wait_for_calls(self, number: int) -> None:
        """Wait until `number` more calls have started and `number` more have ended."""
        started = len(self.calls) + number
        ended = self._ended() + number
        async with asyncio.timeout(LIMIT):
            while len(self.calls) < started or self._ended() < ended:
                await asyncio.sleep(0.02)

    def _ended(self) -> int:
        return sum(call.done() for call in self.calls)

    async def _start_calls(self) -> None:
        while True:
            self.calls.append(asyncio.create_task(whole_call(self.group, pause=HOOK_PAUSE)))
            if len(self.calls) % 10 == 0:
                content = {"destination": "61491570156", "account_code": "em", "wait": "none"}
                key = f"key-{len(self.calls)}"
                status, answer = await self.group.dispatch(content, key)
                self.dispatches.append((status, answer.get("call_id", "")))
            await asyncio.sleep(CALL_INTERVAL)


async def restart(group: Group, gateway: Gateway) -> None:
    """As an operator who only waits until the gateway is ready again."""
    assert await gateway.terminate() == 0
    await gateway.start()


async def restart_out_of_rotation(group: Group, gateway: Gateway) -> None:
    """As an operator who takes the gateway out of nginx' configuration before."""
    await group.nginx.reload(down=gateway.port)
    before = len(group.nginx.config.access_log)
    assert await gateway.terminate() == 0
    assert not any(gateway.address in line for line in group.nginx.config.access_log[before:])
    await gateway.start()
    await group.nginx.reload()


Restart = Callable[[Group, Gateway], Awaitable[None]]


@pytest.mark.parametrize("restart", [restart, restart_out_of_rotation])
async def test_a_rolling_restart_loses_no_call(group: Group, restart: Restart) -> None:
    traffic = Traffic(group)
    async with traffic.running():
        await traffic.wait_for_calls(10)
        for gateway in group.gateways:
            await restart(group, gateway)
        await traffic.wait_for_calls(10)
    await check_all_ended(group, traffic)
    event_ids = [body["event_id"] for body in group.receiver.bodies]
    assert len(event_ids) == len(set(event_ids))
    assert {status for status, _ in traffic.dispatches} == {200}


#: The pauses of jambonz-feature-server 0.9.8 between its attempts at a hook, in s.
HOOK_PAUSES = (0.5, 1.0, 2.0, 4.0, 6.0)


@pytest.mark.field("J8")
async def test_a_hook_is_repeated_for_longer_than_its_gateway_restarts(group: Group) -> None:
    """Without nginx and a second gateway."""
    gateway = group.gateways[0]
    repetitions = re.search(r"#rc=(\d)", RETRY)
    assert repetitions
    assert int(repetitions[1]) == len(HOOK_PAUSES)
    assert await gateway.terminate() == 0
    starting = asyncio.create_task(gateway.start())
    jambonz = group.jambonz_at(gateway, "restarted")
    failures = 0
    for pause in HOOK_PAUSES:
        try:
            (dial,) = await jambonz.call_arrives()
            break
        except (aiohttp.ClientError, HookRefused):
            failures += 1
            await asyncio.sleep(pause)
    await starting
    assert failures, "the first attempt meets no gateway"
    assert dial["verb"] == "dial"


async def test_a_killed_gateway_loses_no_call(group: Group) -> None:
    """The other gateway delivers what the killed one was delivering, maybe a second time."""
    traffic = Traffic(group)
    async with traffic.running():
        await traffic.wait_for_calls(20)
        group.gateways[0].kill()
        await traffic.wait_for_calls(40)
    await check_all_ended(group, traffic)
    assert {status for status, _ in traffic.dispatches} == {200}


async def test_a_gateway_that_does_not_respond_delays_hooks_only(group: Group) -> None:
    """Jambonz waits 10 s for a response, as these calls do: nginx tries the other one before."""
    suspended, other = group.gateways
    suspended.suspend()
    answers = await asyncio.gather(*(group.jambonz().call_arrives() for _ in range(12)))
    call_ids = {dial["headers"]["X-Call-Id"] for (dial,) in answers}
    await group.wait_for_log(f"{suspended.address}, {other.address}")
    # Resumed, it processes the hooks that it has received: no second call comes of them.
    await suspended.resume()
    calls = {call["call_id"] for call in await group.list_calls()}
    assert calls == call_ids == set(group.livekit.rooms)


async def check_all_ended(group: Group, traffic: Traffic) -> None:
    call_ids = [call.result() for call in traffic.calls]
    assert len(set(call_ids)) == len(call_ids)
    await group.wait_for_last_callbacks(call_ids)
    inbound = await group.list_calls("include=ended&direction=inbound")
    assert {call["call_id"] for call in inbound} == set(call_ids)
    assert {call["disconnection_reason"] for call in inbound} == {"user_hangup"}
    for call_id in call_ids:
        callbacks = list(dict.fromkeys(group.callbacks_of(call_id)))
        assert [event for event, _ in callbacks] == EVENTS
