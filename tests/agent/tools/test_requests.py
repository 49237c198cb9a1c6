"""Requests of tools and lookups: where they may go, how they are signed, and why they fail."""

import asyncio
import base64
import re

import pytest
from standardwebhooks import Webhook

from agent.profiles.hosts import HostPolicy
from agent.voice.requests import MAX_ANSWER, RequestFailed, Requests
from common import resolver
from common.signing import Signer
from tests.common.test_urls import PRIVATE, PUBLIC, url_to
from tests.fakes.name_server import NameServer
from tests.fakes.receiver import Receiver

HOST = "n8n.example.com"
SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()


def requests_to(*allowed_hosts: str, secrets: tuple[str, ...] = ()) -> Requests:
    return Requests(HostPolicy.reading(allowed_hosts), Signer(secrets))


async def post(requests: Requests, url: str, **options: object) -> str:
    settings = {"message_id": "m1", "headers": {"X-Key": "k"}, "timeout": 5.0, **options}
    return await requests.post(url, {"call": {"call_id": "call-1"}}, **settings)  # type: ignore[arg-type]


async def failure(requests: Requests, url: str, **options: object) -> str:
    with pytest.raises(RequestFailed) as caught:
        await post(requests, url, **options)
    return str(caught.value)


def named(receiver: Receiver, host: str = HOST) -> str:
    return receiver.url.replace("127.0.0.1", host)


async def test_a_request_is_signed_as_callbacks_are(receiver: Receiver) -> None:
    receiver.text = ' {"ok": true}\n'
    requests = requests_to("127.0.0.1", secrets=(SECRET,))
    assert await post(requests, f"{receiver.url}/webhook/book?a=%20b") == '{"ok": true}'
    headers, body, path = receiver.raw[0]
    assert Webhook(SECRET).verify(body.decode(), headers) == {"call": {"call_id": "call-1"}}
    assert (headers["X-Key"], headers["webhook-id"]) == ("k", "m1")
    assert path == "/webhook/book?a=%20b"


async def test_without_a_secret_there_is_no_signature(receiver: Receiver) -> None:
    await post(requests_to("127.0.0.1"), receiver.url)
    assert "webhook-signature" not in receiver.raw[0][0]


@pytest.mark.parametrize("host", PRIVATE)
async def test_a_private_address_is_refused_in_every_form(host: str) -> None:
    reason = await failure(requests_to(), url_to(host))
    assert reason.endswith("is a private address: name it in allowed_hosts")


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_address_is_allowed_whatever_else_is(host: str) -> None:
    for policy in (HostPolicy(), HostPolicy.reading(["10.0.0.0/8", "n8n"])):
        policy.check(url_to(host))
        policy.check_address("example.com", host, 443)


@pytest.mark.parametrize("url", ["http://127.1/", "http://0x7f000001/", "http://2130706433/"])
async def test_addresses_that_parsers_read_differently_are_no_hosts(url: str) -> None:
    assert "absolute http(s) URL" in await failure(requests_to("127.0.0.0/8"), url)


@pytest.mark.parametrize(
    "url", ["", "n8n/webhook", "ftp://n8n/", "file:///etc/passwd", "http://a:b@n8n/", "http://[::1"]
)
async def test_what_is_no_http_url_is_refused(url: str) -> None:
    assert "absolute http(s) URL" in await failure(requests_to(), url)


@pytest.mark.parametrize("host", ["localhost", "n8n.localhost", "LOCALHOST."])
async def test_this_machine_by_name_is_private(host: str) -> None:
    assert "private address" in await failure(requests_to(), f"http://{host}:1/")


@pytest.mark.parametrize("addresses", ["127.0.0.1", "1.1.1.1 127.0.0.1", "168.63.129.16"])
async def test_a_name_with_a_private_address_is_refused(
    name_server: NameServer, receiver: Receiver, addresses: str
) -> None:
    name_server.addresses[HOST] = [addresses]
    reason = await failure(requests_to(), named(receiver))
    assert reason == f"{HOST} has a private address: name it in allowed_hosts"
    assert not receiver.raw


async def test_each_request_looks_the_name_up_and_checks_it(
    name_server: NameServer, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: what the name was when it was checked before does not count."""
    monkeypatch.setattr(resolver, "FRESH", 0.0)
    name_server.addresses[HOST] = ["1.1.1.1", "127.0.0.1"]
    policy = requests_to()
    with pytest.raises(RequestFailed):
        await post(policy, named(receiver), timeout=0.3)
    assert "private address" in await failure(policy, named(receiver))
    assert not receiver.raw


@pytest.mark.parametrize("entry", ["n8n", "n8n:{port}", "http://n8n", "127.0.0.0/8"])
async def test_a_private_host_that_is_allowed_is_asked(
    name_server: NameServer, receiver: Receiver, entry: str
) -> None:
    name_server.addresses["n8n"] = ["127.0.0.1"]
    allowed = entry.format(port=receiver.url.rpartition(":")[2])
    await post(requests_to(allowed), named(receiver, "n8n"))
    assert len(receiver.raw) == 1


async def test_an_entry_allows_nothing_else(name_server: NameServer, receiver: Receiver) -> None:
    name_server.addresses["n8n"] = ["127.0.0.1"]
    for entry in ("n8n:1", "https://n8n", "10.0.0.0/8", "*.example.com"):
        assert "private address" in await failure(requests_to(entry), named(receiver, "n8n"))


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(receiver: Receiver, status: int) -> None:
    async with Receiver().serving() as target:
        receiver.answer = lambda _: status
        receiver.headers["Location"] = target.url
        assert str(status) in await failure(requests_to("127.0.0.1"), receiver.url)
        assert not target.raw


async def test_a_failure_is_told_in_our_own_words(
    receiver: Receiver, name_server: NameServer
) -> None:
    requests = requests_to("127.0.0.1")
    receiver.answer, receiver.text = lambda _: 500, "<html>a stack trace with a password"
    assert await failure(requests, receiver.url) == "answered 500 Internal Server Error"
    assert "no connection" in await failure(requests, "http://127.0.0.1:9/")
    assert await failure(requests, "http://missing.example.com/") == (
        "missing.example.com is no name with an address"
    )
    headers = {"X-Key": "a\r\nX-Other: b"}
    assert "cannot be sent" in await failure(requests, receiver.url, headers=headers)


async def test_an_answer_that_does_not_come_is_not_waited_for(receiver: Receiver) -> None:
    receiver.hang_until = asyncio.Event()
    reason = await failure(requests_to("127.0.0.1"), receiver.url, timeout=0.1)
    assert reason == "no answer within 0.1 s"
    receiver.hang_until.set()


async def test_the_length_of_an_answer_is_bounded(receiver: Receiver) -> None:
    requests = requests_to("127.0.0.1")
    receiver.text = "x" * MAX_ANSWER
    assert await post(requests, receiver.url) == receiver.text
    receiver.text += "x"
    assert re.search(r"longer than 8192 bytes", await failure(requests, receiver.url))
