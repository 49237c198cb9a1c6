"""The live feed: what happens to calls reaches those who listen, also what they missed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import ClientResponse

from gateway.api import event_stream
from gateway.api.routes import events
from gateway.api.services import SERVICES
from gateway.errors import StorageUnavailable
from gateway.storage.feed import FeedEntry
from gateway.storage.memory.feed import MemoryFeed
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, jambonz_for


@dataclass
class Listener:
    answer: ClientResponse

    async def block(self) -> dict[str, str]:
        """The next event's fields, or a comment's."""
        async with asyncio.timeout(10):
            text = (await self.answer.content.readuntil(b"\n\n")).decode().strip()
        lines = (line.partition(":") for line in text.split("\n"))
        return {name: value.strip() for name, _, value in lines}

    async def event(self) -> tuple[str, Any]:
        """The next one's id and content."""
        fields = await self.block()
        assert fields["event"] == "call", fields
        return fields["id"], json.loads(fields["data"])


@asynccontextmanager
async def listening(client: Client, after: str = "") -> AsyncIterator[Listener]:
    headers = {"X-API-Key": READ_KEY} | ({"Last-Event-ID": after} if after else {})
    async with client.get("/livekit-api/events", headers=headers) as answer:
        assert answer.status == 200
        assert answer.content_type == "text/event-stream"
        listener = Listener(answer)
        assert await listener.block() == {"": "listening"}
        yield listener


async def test_a_calls_life_is_told_as_it_happens(gateway: Client) -> None:
    async with listening(gateway) as listener:
        jambonz = jambonz_for(gateway)
        await jambonz.call_arrives()
        _, content = await listener.event()
        assert content["event"] == "call_registered"
        assert content["call"]["from_number"] == "+15550100"
        await jambonz.status("in-progress")
        assert (await listener.event())[1]["event"] == "call_ongoing"
        await jambonz.status("completed", call_termination_by="caller")
        _, content = await listener.event()
        assert content["event"] == "call_ended"
        assert content["call"]["disconnection_reason"] == "user_hangup"


async def test_who_comes_back_hears_what_they_missed(gateway: Client) -> None:
    async with listening(gateway) as listener:
        await jambonz_for(gateway).call_arrives()
        last, _ = await listener.event()
    for _ in range(3):
        await jambonz_for(gateway).call_arrives()
    async with listening(gateway, after=last) as listener:
        ids = [(await listener.event())[0] for _ in range(3)]
    assert len({last, *ids}) == 4


@pytest.mark.parametrize("after", ["1700000000000-5", "nonsense", "5", "-"])
async def test_who_was_away_too_long_is_told_so(gateway: Client, after: str) -> None:
    async with listening(gateway, after=after) as listener:
        fields = await listener.block()
        assert fields["event"] == "missed"
        await jambonz_for(gateway).call_arrives()
        assert (await listener.event())[1]["event"] == "call_registered"


async def test_several_listen(gateway: Client) -> None:
    async with listening(gateway) as one, listening(gateway) as other:
        await jambonz_for(gateway).call_arrives()
        assert await one.event() == await other.event()


async def test_a_heartbeat_while_nothing_happens(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT", 0.05)
    async with listening(gateway) as listener:
        assert await listener.block() == {"": ""}
        assert await listener.block() == {"": ""}
        await jambonz_for(gateway).call_arrives()
        while "data" not in (fields := await listener.block()):
            assert fields == {"": ""}


async def test_too_many_are_sent_away(gateway: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_LISTENERS", 1)
    async with listening(gateway):
        headers = {"X-API-Key": DISPATCH_KEY}
        async with gateway.get("/livekit-api/events", headers=headers) as answer:
            assert answer.status == 503
            assert "Retry-After" in answer.headers


async def test_stopping_ends_those_who_listen(gateway: Client) -> None:
    async with listening(gateway) as listener:
        assert gateway.app
        await gateway.app.shutdown()
        async with asyncio.timeout(10):
            assert await listener.answer.content.read() == b""


@pytest.mark.field("F1")
async def test_storage_that_fails_ends_the_stream_and_the_client_comes_back(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = MemoryFeed._entries

    async def failing(self: MemoryFeed, number: int | None) -> AsyncIterator[FeedEntry]:
        yield await anext(entries(self, number))
        raise StorageUnavailable("Redis: no answer in time")

    monkeypatch.setattr(MemoryFeed, "_entries", failing)
    async with listening(gateway) as listener:
        await jambonz_for(gateway).call_arrives()
        last, _ = await listener.event()
        async with asyncio.timeout(10):
            assert await listener.answer.content.read() == b""  # and no second response
    monkeypatch.setattr(MemoryFeed, "_entries", entries)
    await jambonz_for(gateway).call_arrives()
    async with listening(gateway, after=last) as listener:
        assert (await listener.event())[1]["event"] == "call_registered"


@pytest.mark.field("F1")
async def test_storage_that_has_failed_before_is_a_503(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StorageUnavailable("Redis: no answer in time")

    monkeypatch.setattr(MemoryFeed, "listen", fail)
    async with gateway.get("/livekit-api/events", headers={"X-API-Key": READ_KEY}) as answer:
        assert (answer.status, answer.content_type) == (503, "application/json")
    await nobody_listens(gateway)


async def nobody_listens(gateway: Client) -> None:
    assert gateway.app
    async with asyncio.timeout(10):
        while gateway.app[SERVICES].listeners.number:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def one_that_does_not_read(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """A listener that leaves everything unread, while more happens than all buffers hold."""
    sent = 0

    async def endless(self: MemoryFeed, number: int | None) -> AsyncIterator[FeedEntry]:
        nonlocal sent
        while True:
            sent += 1
            yield FeedEntry(f"{sent}-0", json.dumps("x" * 100_000))

    monkeypatch.setattr(MemoryFeed, "_entries", endless)
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1024)
    head = f"GET /livekit-api/events HTTP/1.1\r\nHost: gateway\r\nX-API-Key: {READ_KEY}\r\n\r\n"
    writer.write(head.encode())
    await reader.readuntil(b"listening")
    async with asyncio.timeout(10):
        before = -1
        while before != sent:  # until it can send no more
            before = sent
            await asyncio.sleep(0.05)
    yield
    writer.close()


@pytest.mark.field("F2")
async def test_a_listener_that_does_not_read_is_dropped(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "READ_TIMEOUT", 0.3)
    async with one_that_does_not_read(gateway, monkeypatch):
        await nobody_listens(gateway)


@pytest.mark.field("F2")
async def test_a_listener_that_does_not_read_does_not_delay_the_stop(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "CHECK_INTERVAL", 0.1)
    monkeypatch.setattr(event_stream, "READ_TIMEOUT", 60.0)
    async with one_that_does_not_read(gateway, monkeypatch):
        assert gateway.app
        await gateway.app.shutdown()
        await nobody_listens(gateway)


@pytest.mark.field("F2")
async def test_a_listener_that_leaves_frees_its_slot_without_an_event(
    gateway: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MAX_LISTENERS", 1)
    async with listening(gateway):
        pass
    await nobody_listens(gateway)
    async with listening(gateway) as listener:
        await jambonz_for(gateway).call_arrives()
        assert (await listener.event())[1]["event"] == "call_registered"


async def test_only_with_a_key(gateway: Client) -> None:
    async with gateway.get("/livekit-api/events") as answer:
        assert answer.status == 401


@pytest.mark.field("F4")
@pytest.mark.parametrize("query", ["since=1", "from_number=1", "after=1&after=2"])
async def test_an_unknown_parameter_is_refused(gateway: Client, query: str) -> None:
    url, headers = f"/livekit-api/events?{query}", {"X-API-Key": READ_KEY}
    async with gateway.get(url, headers=headers) as answer:
        assert answer.status == 422
        assert list((await answer.json())["details"]) == [query.partition("=")[0]]
