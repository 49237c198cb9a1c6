"""One callback and its receiver: the receiver's time, and what is told about its answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from common import resolver
from common.allowed_hosts import read_allowed_host
from common.urls import UrlRejected
from gateway.callbacks import sender as module
from gateway.callbacks.sender import Sender
from gateway.config.settings import LOOPBACK, CallbackSettings
from tests.fakes.name_server import NameServer
from tests.fakes.receiver import Receiver
from tests.ports import free_port

SECRET = "hush-hush"


def opened(*allowed: str, **settings: Any) -> Any:
    hosts = tuple(map(read_allowed_host, allowed or [LOOPBACK]))
    return Sender.open(CallbackSettings(allowed_hosts=hosts, **settings))


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that answers each request with these bytes and hangs up."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(respond, LOOPBACK, 0)
    async with server:
        yield f"{LOOPBACK}:{server.sockets[0].getsockname()[1]}"


@pytest.mark.field("E2")
async def test_waiting_for_other_callbacks_is_not_the_receivers_time(receiver: Receiver) -> None:
    """A hundred at once at a receiver that takes a third of the timeout for each."""

    async def slow(_: int) -> int:
        await asyncio.sleep(0.5)
        return 200

    receiver.answer_later = slow
    async with opened(timeout=1.5) as sender:
        answers = await asyncio.gather(
            *(sender.send(receiver.url, "{}", f"evt_{number}") for number in range(100))
        )
    assert {answer.status for answer in answers} == {200}
    ids = [headers["webhook-id"] for headers, _, _ in receiver.raw]
    assert sorted(ids) == sorted(f"evt_{number}" for number in range(100))
    assert receiver.most_at_a_time == module.REQUESTS_PER_RECEIVER


async def test_a_receiver_that_takes_all_its_slots_delays_no_other(receiver: Receiver) -> None:
    async with Receiver(hang_until=asyncio.Event()).serving() as silent, opened() as sender:
        waiting = [
            asyncio.create_task(sender.send(silent.url, "{}", f"evt_{number}"))
            for number in range(2 * module.REQUESTS_PER_RECEIVER)
        ]
        await silent.received(module.REQUESTS_PER_RECEIVER)
        assert (await sender.send(receiver.url, "{}", "evt_1")).status == 200
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


@pytest.mark.field("E1")
async def test_hosts_whose_names_hang_delay_no_other(
    name_server: NameServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = [f"hanging-{number}.example.com" for number in range(20)]
    name_server.addresses |= {host: [] for host in hanging} | {"n8n": [LOOPBACK]}
    async with opened("*.example.com", "n8n") as sender:
        waiting = [
            asyncio.create_task(sender.send(f"http://{host}/", "{}", "evt_1")) for host in hanging
        ]
        await name_server.asked(hanging)
        answer = await sender.send(receiver.url.replace(LOOPBACK, "n8n"), "{}", "evt_2")
        assert answer.status == 200
        # Nor does the event loop's own lookup, which Redis uses, wait behind them.
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        assert not any(task.done() for task in waiting)
        answers = await asyncio.gather(*waiting)
    assert {answer.error.partition(" for ")[0] for answer in answers} == {"no name server answers"}


@pytest.mark.field("E1")
async def test_a_dispatch_does_not_wait_for_a_name_that_hangs(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHECK_TIMEOUT", 0.05)
    name_server.addresses["hanging.example.com"] = []
    async with Sender.open(CallbackSettings()) as sender:
        await sender.check("https://hanging.example.com/")


async def test_a_name_server_that_is_down_refuses_no_dispatch() -> None:
    async with Sender.open(CallbackSettings()) as sender:
        await sender.check("https://n8n.example.com/")
        with pytest.raises(UrlRejected):
            await sender.check("https://10.0.0.1/")


@pytest.mark.field("E4")
@pytest.mark.parametrize(
    ("received", "status", "error"),
    [
        (b"SSH-2.0-OpenSSH_9.6 " + SECRET.encode() + b"\r\n", None, "the answer is not HTTP"),
        (b"", None, "the connection was closed before an answer"),
        (
            b"HTTP/1.1 500 " + SECRET.encode() + b"\r\n\r\n",
            500,
            "answered 500 Internal Server Error",
        ),
        (b"HTTP/1.1 500 gr\xfcn\r\n\r\n", 500, "answered 500 Internal Server Error"),
        (b"HTTP/1.1 599 " + SECRET.encode() + b"\r\n\r\n", 599, "answered 599"),
        (b"HTTP/1.1 200 OK\r\n" + SECRET.encode() + b"\r\n\r\n", None, "the answer is not HTTP"),
    ],
)
@pytest.mark.parametrize("url", ["http://{}?signature={}", "HTTP://{}/x?signature={}#{}"])
async def test_our_own_words_only(
    received: bytes, status: int | None, error: str, url: str
) -> None:
    async with answering(received) as address, opened() as sender:
        answer = await sender.send(url.format(address, SECRET, SECRET), "{}", "evt_1")
    assert (answer.status, answer.error) == (status, error)


@pytest.mark.field("E4")
async def test_failures_without_a_connection(
    name_server: NameServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT", 0.1)
    name_server.addresses["hanging.example.com"] = []
    refused, query = f"{LOOPBACK}:{free_port()}", f"?signature={SECRET}"
    expected = {
        f"http://{refused}{query}": "no connection: Connection refused",
        f"https://{receiver.url.rpartition('/')[2]}/{query}": "the TLS handshake failed",
        f"http://hanging.example.com{query}": "no name server answers for hanging.example.com",
        f"http://missing.example.com{query}": "missing.example.com is no name with an address",
    }
    async with opened(LOOPBACK, "*.example.com") as sender:
        answers = {url: (await sender.send(url, "{}", "evt_1")).error for url in expected}
    assert answers == expected


@pytest.mark.field("E6")
async def test_retry_after_is_seconds_or_a_date() -> None:
    now = datetime(2026, 11, 25, 12, tzinfo=UTC)  # by the receiver's clock
    for value, expected in {
        "30": 30.0,
        format_datetime(now + timedelta(seconds=45), usegmt=True): 45.0,
        format_datetime(now - timedelta(seconds=45), usegmt=True): 0.0,
        "soon": None,
        "-5": None,
        "²": None,
    }.items():
        date = format_datetime(now, usegmt=True)
        head = f"HTTP/1.1 503 x\r\nDate: {date}\r\nRetry-After: {value}\r\n\r\n"
        async with answering(head.encode()) as address, opened() as sender:
            answer = await sender.send(f"http://{address}/", "{}", "evt_1")
        assert answer.retry_after == expected, value
