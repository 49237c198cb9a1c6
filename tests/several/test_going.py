"""A gateway goes while calls come in and go on, killed or told to: nginx loses none of its hooks.

Jambonz is played without its own retries: nginx's have to do.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.several.group import Gateway, Group
from tests.several.talk import whole

TOLD = ["call_started", "call_ended", "call_analyzed"]
#: Between one hook of a call and the next, and between one call and the next, in s.
PAUSE = 0.2
EVERY = 0.05


@dataclass
class Traffic:
    """Calls that come and go; `calls` fail with the first of their hooks that does."""

    group: Group
    calls: list[asyncio.Task[str]] = field(default_factory=list)
    dispatches: list[tuple[int, str]] = field(default_factory=list)

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """While in the context calls come in; when it is left all have been talked to their end."""
        source = asyncio.create_task(self._come())
        try:
            yield
        finally:
            source.cancel()
            await asyncio.wait([source])
        if not source.cancelled() and (error := source.exception()):
            raise error
        await asyncio.gather(*self.calls)

    async def some(self, number: int) -> None:
        """Wait until `number` more calls have come in and `number` more hung up."""
        wanted = len(self.calls) + number
        over = self._over() + number
        async with asyncio.timeout(30):
            while len(self.calls) < wanted or self._over() < over:
                await asyncio.sleep(0.02)

    def _over(self) -> int:
        return sum(call.done() for call in self.calls)

    async def _come(self) -> None:
        while True:
            self.calls.append(asyncio.create_task(whole(self.group, pause=PAUSE)))
            if len(self.calls) % 10 == 0:
                content = {"destination": "61491570156", "account_code": "em", "wait": "none"}
                key = f"key-{len(self.calls)}"
                status, answer = await self.group.dispatch(content, key)
                self.dispatches.append((status, answer.get("call_id", "")))
            await asyncio.sleep(EVERY)


async def restarted(group: Group, gateway: Gateway) -> None:
    """All that an operator waits for is that it is ready again."""
    assert await gateway.told_to_stop() == 0
    await gateway.start()


async def restarted_out_of_the_way(group: Group, gateway: Gateway) -> None:
    """As in the other one, and nginx is told beforehand and afterwards."""
    await group.running.reload(down=gateway.port)
    before = len(group.running.nginx.served)
    assert await gateway.told_to_stop() == 0
    assert not any(gateway.address in line for line in group.running.nginx.served[before:])
    await gateway.start()
    await group.running.reload()


Restart = Callable[[Group, Gateway], Awaitable[None]]


@pytest.mark.parametrize("restart", [restarted, restarted_out_of_the_way])
async def test_a_rolling_restart_under_traffic(group: Group, restart: Restart) -> None:
    traffic = Traffic(group)
    async with traffic.flowing():
        await traffic.some(10)
        for gateway in group.gateways:
            await restart(group, gateway)
        await traffic.some(10)
    await check_all_ended(group, traffic)
    heard = [body["event_id"] for body in group.receiver.bodies]
    assert len(heard) == len(set(heard))
    assert {status for status, _ in traffic.dispatches} == {200}


async def test_one_killed_amid_many_calls(group: Group) -> None:
    """What a killed gateway was delivering is delivered by the other: perhaps a second time."""
    traffic = Traffic(group)
    async with traffic.flowing():
        await traffic.some(20)
        group.gateways[0].kill()
        await traffic.some(40)
    await check_all_ended(group, traffic)
    assert {status for status, _ in traffic.dispatches} == {200}


async def test_one_that_hangs(group: Group) -> None:
    """Jambonz waits 10 s, as these do: what one does not answer is asked of the other before."""
    hung, other = group.gateways
    hung.freeze()
    answers = await asyncio.gather(*(group.jambonz().call_arrives() for _ in range(12)))
    call_ids = {dial["headers"]["X-Call-Id"] for (dial,) in answers}
    await group.logged(f"{hung.address}, {other.address}")
    # It does then what it was asked long ago: these are the same calls still.
    await hung.thaw()
    assert {call["call_id"] for call in await group.calls()} == call_ids == set(group.livekit.rooms)


async def check_all_ended(group: Group, traffic: Traffic) -> None:
    call_ids = [call.result() for call in traffic.calls]
    assert len(set(call_ids)) == len(call_ids)
    await group.told_to_the_end(call_ids)
    inbound = await group.calls("include=ended&direction=inbound")
    assert {call["call_id"] for call in inbound} == set(call_ids)
    assert {call["disconnection_reason"] for call in inbound} == {"user_hangup"}
    for call_id in call_ids:
        heard = list(dict.fromkeys(group.heard_of(call_id)))
        assert [event for event, _ in heard] == TOLD
