"""`/docs`: everything that the API has, by the page's HTML."""

import re
import shlex
from collections import Counter
from html.parser import HTMLParser

import pytest
from aiohttp import encode_basic_auth

from gateway.api.openapi import document
from gateway.api.reference import Reference
from gateway.api.routes import ENDPOINTS
from gateway.callbacks.events import CallbackEvent
from gateway.calls.reasons import DisconnectionReason
from gateway.errors import ErrorCode
from gateway.security.api_keys import digest_of
from gateway.web.curl import curl
from tests.conftest import DISPATCH_KEY, Client, GatewayStarter

OPERATIONS = {it.id: it for it in Reference(document(ENDPOINTS)).endpoints()}
VIEW_ONLY = f"guest:view:sha256={digest_of('guest').hex()}"


class Parsed(HTMLParser):
    """Ids, links and attributes, and the texts of code that can be copied."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.attributes: set[str] = set()
        self.inline: list[str] = []
        self.copyable: list[str] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._open.append(tag)
        self.attributes |= given.keys()
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if tag == "a" else []
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)
        if tag == "pre":
            self.copyable.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "pre" in self._open:
            self.copyable[-1] += data


@pytest.fixture
async def page(gateway: Client) -> Parsed:
    async with gateway.get("/docs", headers={"X-API-Key": DISPATCH_KEY}) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        return Parsed(await response.text())


async def test_it_has_everything(page: Parsed) -> None:
    callbacks = {f"callback_{event}" for event in CallbackEvent}
    errors = {f"error-{code}" for code in ErrorCode}
    reasons = {f"reason-{reason}" for reason in DisconnectionReason}
    assert (OPERATIONS.keys() | callbacks | errors | reasons) <= set(page.ids)


async def test_its_links_lead_somewhere_and_no_id_is_there_twice(page: Parsed) -> None:
    targets = {link.removeprefix("#") for link in page.links if link.startswith("#")}
    assert targets - set(page.ids) == set()
    assert [name for name, number in Counter(page.ids).items() if number > 1] == []


async def test_it_loads_nothing_from_elsewhere_and_has_nothing_inline(page: Parsed) -> None:
    assert page.inline == []
    assert not [name for name in page.attributes if name.startswith("on") or name == "style"]
    assert not [link for link in page.links if "://" in link]


async def test_each_command_is_there_to_be_copied(page: Parsed, gateway: Client) -> None:
    commands = [text for text in page.copyable if text.startswith("curl ")]
    assert len(commands) == sum(bool(curl(it, "")) for it in OPERATIONS.values())
    assert all(text.startswith(("curl -", 'curl "http://127.0.0.1:8000/')) for text in commands)


async def test_its_address_is_the_public_one(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"GATEWAY_PUBLIC_URL": "https://gateway.example.com"})
    async with gateway.get("/docs", headers={"X-API-Key": DISPATCH_KEY}) as response:
        text = await response.text()
    assert "curl -X POST &#34;https://gateway.example.com/livekit-api/calls/$CALL_ID/hangup" in text


@pytest.mark.parametrize("name", [name for name, it in OPERATIONS.items() if curl(it, "")])
async def test_the_gateway_takes_each_command(name: str, start_gateway: GatewayStarter) -> None:
    """What it asks for may not exist; but it is no wrong request."""
    auth = {"JAMBONZ_WEBHOOK_AUTH": "user:password", "JAMBONZ_WEBHOOK_SECRET": ""}
    gateway = await start_gateway(auth)
    method, path, headers, body = sent_by(curl(OPERATIONS[name], ""))
    async with gateway.request(method, path, headers=headers, data=body) as response:
        assert response.status not in {400, 401, 405, 415, 422}, await response.text()
        assert response.status != 404 or "no such path" not in await response.text()


def sent_by(command: str) -> tuple[str, str, dict[str, str], str | None]:
    """What curl would send: method, path, headers, body."""
    variables = {
        "$CALL_ID": "call-1",
        "$DELIVERY_ID": "dlv_1",
        "$API_KEY": DISPATCH_KEY,
        "$JAMBONZ_WEBHOOK_AUTH": "user:password",
    }
    words = [
        re.sub(r"\$[A-Z_]+", lambda match: variables[match[0]], word)
        for word in shlex.split(command.replace("\\\n", " "))
    ]
    assert words.pop(0) == "curl"
    method, path, headers, body = "", "", {}, None
    while words:
        match words.pop(0):
            case "-N":
                pass
            case "-X":
                method = words.pop(0)
            case "-H":
                key, _, value = words.pop(0).partition(": ")
                headers[key] = value
            case "-u":
                user, _, password = words.pop(0).partition(":")
                headers["Authorization"] = encode_basic_auth(user, password)
            case "-d":
                body = words.pop(0)
            case path:
                pass
    return method or ("POST" if body else "GET"), path, headers, body


async def test_whoever_may_see_calls_may_see_it(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway({"GATEWAY_API_KEYS": VIEW_ONLY})
    async with gateway.get("/docs", headers={"X-API-Key": "guest"}) as response:
        assert response.status == 200
    async with gateway.get("/docs", allow_redirects=False) as response:
        assert (response.status, response.headers["Location"]) == (303, "/sign-in?next=%2Fdocs")
