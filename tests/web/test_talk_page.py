"""The page at /talk: who may open it, what it may load, and its copy of livekit-client."""

import json
import re

import pytest

from gateway.tools import livekit_client
from gateway.web.talk_page import livekit_sources
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter, skip_unless_ci

LINK = 'href="/talk"'


async def opened(gateway: Client, path: str, key: str) -> tuple[int, str, str]:
    """Its status, its content, its Content-Security-Policy."""
    async with gateway.get(path, headers={"X-API-Key": key}) as answer:
        return answer.status, await answer.text(), answer.headers["Content-Security-Policy"]


async def test_the_page_connects_to_livekit_and_no_other_page_does(
    start_gateway: GatewayStarter,
) -> None:
    web = {"calls": True, "livekit_url": "wss://livekit.example.com"}
    gateway = await start_gateway(web=web)
    status, content, policy = await opened(gateway, "/talk", DISPATCH_KEY)
    assert status == 200
    assert "connect-src 'self' wss://livekit.example.com https://livekit.example.com;" in policy
    assert "script-src 'self';" in policy
    assert not re.search(r"<script(?![^>]* src=)| style=| on\w+=", content)
    assert "connect-src 'self';" in (await opened(gateway, "/", DISPATCH_KEY))[2]


@pytest.mark.parametrize(
    ("url", "sources"),
    [
        ("ws://127.0.0.1:7880", ["ws://127.0.0.1:7880", "http://127.0.0.1:7880"]),
        (
            "wss://acme.livekit.cloud",
            [
                *("wss://acme.livekit.cloud", "https://acme.livekit.cloud"),
                *("wss://*.livekit.cloud", "https://*.livekit.cloud"),
            ],
        ),
    ],
)
def test_what_livekit_client_connects_to(url: str, sources: list[str]) -> None:
    assert livekit_sources(url) == sources


async def test_only_who_may_call_is_led_to_the_page(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(web={"calls": True})
    assert LINK in (await opened(gateway, "/", DISPATCH_KEY))[1]
    assert LINK not in (await opened(gateway, "/", READ_KEY))[1]
    status, content, _ = await opened(gateway, "/talk", READ_KEY)
    assert status == 403
    assert "does not have the role dispatch" in content


async def test_without_the_setting_there_is_no_page(gateway: Client) -> None:
    assert LINK not in (await opened(gateway, "/", DISPATCH_KEY))[1]
    status, content, _ = await opened(gateway, "/talk", DISPATCH_KEY)
    assert status == 403
    assert "web.calls" in content


@pytest.mark.parametrize(("pipeline", "is_there"), [("voice", True), ("diagnostic", False)])
async def test_a_profile_can_be_chosen_where_agents_have_profiles(
    pipeline: str, is_there: bool, start_gateway: GatewayStarter
) -> None:
    gateway = await start_gateway(web={"calls": True}, agent={"pipeline": pipeline})
    _, content, _ = await opened(gateway, "/talk", DISPATCH_KEY)
    assert ('name="profile"' in content) is is_there


def test_livekit_client_is_of_the_version_that_is_pinned() -> None:
    pinned = json.loads((livekit_client.NPM / "package.json").read_text())["dependencies"]
    first = livekit_client.FILE.read_text().partition("\n")[0]
    assert first == f"/*! livekit-client {pinned['livekit-client']} Apache-2.0"
    assert livekit_client.FILE.read_text().startswith(livekit_client.header())


def test_livekit_client_is_what_npm_has() -> None:
    if not (livekit_client.NPM / "node_modules").exists():
        skip_unless_ci("npm has not installed livekit-client: make livekit-client")
    assert livekit_client.FILE.read_text() == livekit_client.made()
