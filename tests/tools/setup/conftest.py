"""A real livekit-server that stores trunks and rules in a real Redis; empty for each test."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from gateway.config.loader import build_config
from gateway.config.settings import Config
from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import Kind, SipItem, Trunks
from gateway.tools.dev.livekit_server import LiveKitServer
from tests.livekit.server import livekit_server, redis_server

SBC = "192.0.2.10"

ConfigMaker = Callable[..., Config]


@pytest.fixture(scope="session")
def sip_server(server_process: None) -> Iterator[LiveKitServer]:
    with redis_server() as redis, livekit_server(redis=redis) as server:
        yield server


@pytest.fixture
def config_for(sip_server: LiveKitServer) -> ConfigMaker:
    """A configuration for the real server; sections by keyword, `env` for the environment."""

    def make(env: dict[str, str] | None = None, **sections: Any) -> Config:
        livekit = {
            "LIVEKIT_URL": sip_server.url,
            "LIVEKIT_API_KEY": sip_server.key,
            "LIVEKIT_API_SECRET": sip_server.secret,
        }
        return build_config(
            {"trunks": {"inbound_addresses": [SBC]}} | sections, livekit | (env or {})
        )

    return make


@pytest.fixture
async def trunks(config_for: ConfigMaker) -> AsyncIterator[Trunks]:
    """The server's trunks and rules: none at first."""
    livekit = config_for().livekit
    async with LiveKit.connected(
        livekit.url, livekit.api_key, livekit.api_secret, timeout=5
    ) as client:
        store = Trunks(client)
        for item in await store.listed():
            await store.delete(item)
        yield store


@pytest.fixture
async def foreign_items(trunks: Trunks) -> list[SipItem]:
    """Foreign items for calls to numbers: several trunks, rules with a room for each caller."""
    main = await trunks.create(inbound("main number", numbers=["+12025550199"]))
    more = await trunks.create(
        inbound("more", numbers=["+49918743", "+49918744"], auth_username="j", auth_password="old")
    )
    catch_all = await trunks.create(
        inbound("any number", allowed_addresses=["0.0.0.0/0"], headers_to_attributes={"X-A": "a"})
    )
    boss = await trunks.create(
        inbound("boss", allowed_numbers=["+491701234567"], allowed_addresses=["192.0.2.0/24"])
    )
    await trunks.create(per_caller("main", main))
    await trunks.create(per_caller("catch", catch_all))
    await trunks.create(per_caller("shared", more, boss))
    await trunks.create(per_caller("everything else"))
    fields = {"name": "carrier", "address": "sip.example.com", "numbers": ["+12025550199"]}
    await trunks.create(SipItem(Kind.OUTBOUND_TRUNK, "", fields))
    return await trunks.listed()


def inbound(name: str, **fields: Any) -> SipItem:
    return SipItem(Kind.INBOUND_TRUNK, "", {"name": name, **fields})


def per_caller(name: str, *trunks: SipItem) -> SipItem:
    """A rule that puts each caller into a separate room; without `trunks` it is for all trunks."""
    fields: dict[str, Any] = {
        "name": name,
        "rule": {"dispatch_rule_individual": {"room_prefix": "call"}},
    }
    if trunks:
        fields["trunk_ids"] = [trunk.id for trunk in trunks]
    return SipItem(Kind.DISPATCH_RULE, "", fields)
