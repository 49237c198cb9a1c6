"""What open pages receive: batched, bounded, for each role, and from where they were."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse

from gateway.api import event_stream
from gateway.calls.call import EventKind
from gateway.storage.memory.feed import MemoryFeed
from gateway.web import live
from tests.conftest import READ_KEY, Client, GatewayStarter
from tests.web.conftest import VIEW_KEY, made_at
from tests.web.made_calls import NUMBER, MadeCalls


@dataclass
class Listener:
    answer: ClientResponse
    last_id: str = ""

    async def event(self, name: str = "update") -> dict[str, Any]:
        """The data of the next event, which has this `name`."""
        async with asyncio.timeout(20):
            while "data" not in (fields := await self._block()):
                pass
        assert fields["event"] == name
        self.last_id = fields["id"]
        content: dict[str, Any] = json.loads(fields["data"])
        return content

    async def is_listening(self) -> None:
        """Wait until it misses nothing."""
        async with asyncio.timeout(20):
            while "retry" not in await self._block():
                pass

    async def rows(self) -> dict[str, str]:
        """The rows of the next event that has some."""
        while True:
            if rows := (await self.event())["rows"]:
                return dict(rows)

    async def _block(self) -> dict[str, str]:
        block = (await self.answer.content.readuntil(b"\n\n")).decode()
        assert block.endswith("\n\n"), "the gateway has ended the answer"
        lines = [line.partition(": ") for line in block.splitlines()]
        return {name: text for name, _, text in lines}


@asynccontextmanager
async def listening(
    gateway: Client, *, after: str = "", key: str = READ_KEY
) -> AsyncIterator[Listener]:
    headers = {"X-API-Key": key, **({"Last-Event-ID": after} if after else {})}
    async with gateway.get("/live", headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        listener = Listener(answer)
        await listener.is_listening()
        yield listener


@pytest.fixture(autouse=True)
def _fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "INTERVAL", 0.05)


async def test_a_change_is_a_row(gateway: Client, made: MadeCalls) -> None:
    async with listening(gateway) as listener:
        call = await made.answered()
        rows = await listener.rows()
        assert f'href="/calls/{call.call_id}"' in rows[call.call_id]
        assert "Ongoing" in rows[call.call_id]
        await made.apply(call, EventKind.HUNG_UP, 9.0)
        assert "Caller hung up" in (await listener.rows())[call.call_id]


async def test_who_comes_back_hears_what_they_missed(gateway: Client, made: MadeCalls) -> None:
    async with listening(gateway) as listener:
        await made.registered()
        await listener.rows()
        last = listener.last_id
    call = await made.registered()
    headers = {"X-API-Key": READ_KEY, "Last-Event-ID": last}
    async with gateway.get("/live", headers=headers) as answer:
        assert call.call_id in await Listener(answer).rows()


@pytest.mark.parametrize("after", ["00000000-1", "nonsense", "-", "5"])
async def test_who_comes_from_another_gateway_is_told_to_load_again(
    gateway: Client, made: MadeCalls, after: str
) -> None:
    headers = {"X-API-Key": READ_KEY, "Last-Event-ID": after}
    async with gateway.get("/live", headers=headers) as answer:
        listener = Listener(answer)
        await listener.event("missed")
        call = await made.registered()
        assert call.call_id in await listener.rows()


@pytest.fixture
def few_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "KEPT", 5)


@pytest.mark.usefixtures("few_kept")
async def test_who_was_away_too_long_is_told_to_load_again(
    gateway: Client, made: MadeCalls
) -> None:
    async with listening(gateway) as listener:
        await made.registered()
        await listener.rows()
        first = listener.last_id
        for _ in range(live.KEPT + 1):
            await made.registered()
            await listener.rows()
    headers = {"X-API-Key": READ_KEY, "Last-Event-ID": first}
    async with gateway.get("/live", headers=headers) as answer:
        await Listener(answer).event("missed")


async def test_many_changes_are_one_bounded_message(gateway: Client, made: MadeCalls) -> None:
    async with listening(gateway) as listener:
        for _ in range(live.MAX_ROWS + 20):
            await made.registered()
        while not (content := await listener.event())["rows"]:
            pass
        assert len(content["rows"]) <= live.MAX_ROWS
        assert content["more"] or (await listener.event())["rows"]


async def test_messages_that_are_kept_hold_no_reports(gateway: Client, made: MadeCalls) -> None:
    assert gateway.app
    async with listening(gateway) as listener:
        call = await made.ended(metadata={"patient": "Jo Caller"})
        while call.call_id not in await listener.rows():
            pass
    kept = str([message.calls for message in gateway.app[live.LIVE]._messages])
    assert call.call_id in kept
    assert "date of birth" not in kept
    assert "Jo Caller" not in kept


async def test_each_role_gets_what_it_may_see(start_gateway: GatewayStarter) -> None:
    keys = f"eyes:view:{VIEW_KEY},ops:read:{READ_KEY}"
    gateway = await start_gateway({"GATEWAY_API_KEYS": keys})
    async with listening(gateway) as reads, listening(gateway, key=VIEW_KEY) as views:
        call = await made_at(gateway).registered()
        assert call.from_number in (await reads.rows())[call.call_id]
        masked = (await views.rows())[call.call_id]
        assert "[number]" in masked
        assert not NUMBER.search(masked)


async def test_one_reader_for_all_pages(
    gateway: Client, made: MadeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    readers, listen = 0, MemoryFeed.listen

    async def counted(self: MemoryFeed, after: str) -> AsyncIterator[Any]:
        nonlocal readers
        readers += 1
        return await listen(self, after)

    monkeypatch.setattr(MemoryFeed, "listen", counted)
    async with listening(gateway), listening(gateway) as one:
        async with gateway.get("/", headers={"X-API-Key": READ_KEY}) as page:
            assert page.status == 200
        call = await made.registered()
        assert call.call_id in await one.rows()
    assert readers == 1


async def test_nothing_is_read_while_no_page_is_open(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gateway.app
    updates = gateway.app[live.LIVE]
    monkeypatch.setattr(live, "LINGER", 0.1)
    async with listening(gateway):
        pass
    async with asyncio.timeout(20):
        while updates._reading is None or not updates._reading.done():
            await asyncio.sleep(0.01)


async def test_too_many_pages_are_sent_away(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_PAGES", 1)
    again = gateway.get("/live", headers={"X-API-Key": READ_KEY})
    async with listening(gateway), again as answer:
        assert answer.status == 503
        assert "Retry-After" in answer.headers


async def test_a_connection_ends_after_a_while_and_another_goes_on(
    gateway: Client, made: MadeCalls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client has to authenticate again."""
    monkeypatch.setattr(live, "LONGEST", 0.2)
    monkeypatch.setattr(event_stream, "CHECK_INTERVAL", 0.05)
    async with listening(gateway) as listener:
        await made.registered()
        await listener.rows()
        async with asyncio.timeout(20):
            await listener.answer.content.read()
    call = await made.registered()
    headers = {"X-API-Key": READ_KEY, "Last-Event-ID": listener.last_id}
    async with gateway.get("/live", headers=headers) as answer:
        assert call.call_id in await Listener(answer).rows()


async def test_only_with_a_key(gateway: Client) -> None:
    async with gateway.get("/live") as answer:
        assert answer.status == 401
