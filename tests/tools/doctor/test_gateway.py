"""The configuration, the gateway that runs or does not, its public address, the old route."""

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.api.services import SERVICES
from gateway.security.api_keys import digest_of
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.gateway import ago, configuration, public_answers
from gateway.tools.doctor.web import Answer
from gateway.wiring import now
from tests.api.test_legacy import simple
from tests.conftest import READ_KEY, Client, ConfigMaker, GatewayStarter
from tests.fakes.livekit import FakeLiveKit, Refusal
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, look


def url_of(client: Client) -> str:
    return str(client.make_url("")).rstrip("/")


def test_a_configuration_that_leaves_nothing_open(make_config: ConfigMaker) -> None:
    told = configuration(make_config())
    assert told.status is Status.OK
    assert "agent 'nehos-outbound-agent'" in told.saw


@pytest.mark.parametrize(
    ("missing", "effect", "allowed"),
    [
        ("JAMBONZ_WEBHOOK_SECRET", "loopback only", False),
        ("GATEWAY_API_KEYS", "everybody may use those doors", True),
    ],
)
def test_a_door_without_proof(
    missing: str, effect: str, allowed: bool, make_config: ConfigMaker
) -> None:
    told = configuration(make_config({missing: ""}, security={"allow_unauthenticated": allowed}))
    assert told.status is Status.WARN
    assert f"{missing} not set: " in told.saw
    assert effect in told.saw
    assert missing in told.next


def test_callbacks_that_nobody_can_check(make_config: ConfigMaker) -> None:
    config = make_config({"CALLBACK_SECRET": ""}, callbacks={"urls": ["https://n8n.example.com/"]})
    assert "CALLBACK_SECRET" in configuration(config).next


async def test_a_gateway_that_runs(gateway: Client, make_config: ConfigMaker) -> None:
    told = await look(make_config(), "gateway", url=url_of(gateway))
    assert told.status is Status.OK
    assert "ready" in told.saw


async def test_a_gateway_that_does_not_run(make_config: ConfigMaker) -> None:
    told = await look(make_config(), "gateway", url=f"http://127.0.0.1:{free_port()}")
    assert told.status is Status.FAIL
    assert "refuses connections" in told.saw
    assert "python -m gateway serve" in told.next


async def test_something_else_in_its_place(make_config: ConfigMaker) -> None:
    async with TestServer(web.Application()) as server:
        told = await look(make_config(), "gateway", url=str(server.make_url("")))
    assert told.status is Status.FAIL
    assert "something else than the gateway" in told.saw


async def test_a_gateway_that_is_not_ready(
    gateway: Client, fake_livekit: FakeLiveKit, make_config: ConfigMaker
) -> None:
    fake_livekit.failures.append(Refusal(403, "permission_denied", "not today"))
    told = await look(make_config(), "gateway", url=url_of(gateway))
    assert told.status is Status.FAIL
    assert "livekit: LiveKit refused: not today" in told.saw


async def test_a_gateway_of_other_settings(gateway: Client, make_config: ConfigMaker) -> None:
    config = make_config(inbound={"strategy": "participant"})
    told = await look(config, "gateway", url=url_of(gateway))
    assert told.status is Status.WARN
    assert "'room', here 'participant' is configured" in told.saw


async def test_a_gateway_of_another_version(
    gateway: Client, make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.tools.doctor.gateway.__version__", "9.9.9")
    told = await look(make_config(), "gateway", url=url_of(gateway))
    assert told.status is Status.WARN
    assert "this is 9.9.9" in told.saw


async def test_a_gateway_that_does_not_know_our_key(
    gateway: Client, make_config: ConfigMaker
) -> None:
    env = {"GATEWAY_API_KEYS": "ops:read:unknown"}
    told = await look(make_config(env), "gateway", env=env, url=url_of(gateway))
    assert told.status is Status.WARN
    assert "GATEWAY_API_KEYS" in told.next
    assert "unknown" not in told.saw


async def test_where_there_is_only_the_hash_of_a_key(
    gateway: Client, make_config: ConfigMaker
) -> None:
    env = {"GATEWAY_API_KEYS": f"ops:read:sha256={digest_of(READ_KEY).hex()}"}
    told = await look(make_config(env), "gateway", env=env, url=url_of(gateway))
    assert told.status is Status.WARN
    assert "GATEWAY_API_KEYS=name:read:secret" in told.saw


async def test_an_address_that_may_not_ask(
    start_gateway: GatewayStarter, make_config: ConfigMaker
) -> None:
    gateway = await start_gateway(security={"api_addresses": ["192.0.2.1"]})
    told = await look(make_config(), "gateway", url=url_of(gateway))
    assert told.status is Status.WARN
    assert "127.0.0.1 is not one of" in told.saw
    assert "security.api_addresses" in told.next


async def test_calls_by_the_old_route(
    start_gateway: GatewayStarter, make_config: ConfigMaker
) -> None:
    client = await start_gateway()
    assert (await look(make_config(), "old_route", url=url_of(client))).status is Status.OK
    await simple(client)
    told = await look(make_config(), "old_route", url=url_of(client))
    assert told.status is Status.WARN
    assert "1 still came in by /livekit-simple" in told.saw
    assert "setup --jambonz --apply" in told.next


@pytest.mark.parametrize("url", ["ws://192.0.2.1:7880", "wss://project.livekit.cloud"])
async def test_strangers_who_called_in(
    start_gateway: GatewayStarter, make_config: ConfigMaker, url: str
) -> None:
    client = await start_gateway()
    config = make_config({"LIVEKIT_URL": url})
    assert (await look(make_config(), "strangers", url=url_of(client))).status is Status.OK
    assert client.app
    client.app[SERVICES].counters.stray_room(now())
    told = await look(config, "strangers", url=url_of(client))
    assert told.status is Status.WARN
    assert "that nobody announced came into LiveKit and were ended: 1" in told.saw
    assert "trunks.inbound_addresses" in told.next
    assert ("auto_create: false" in told.next) is not config.livekit.is_cloud


async def test_a_public_url_that_leads_here(stack: Stack) -> None:
    told = await look(stack.config(), "public_url")
    assert told.status is Status.OK
    assert "an unsigned hook is refused there" in told.saw


async def test_a_public_url_that_leads_nowhere(make_config: ConfigMaker) -> None:
    config = make_config({"GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{free_port()}"})
    told = await look(config, "public_url")
    assert told.status is Status.FAIL
    assert "GATEWAY_PUBLIC_URL" in told.next


async def test_no_public_url(make_config: ConfigMaker) -> None:
    told = await look(make_config(), "public_url")
    assert told.status is Status.WARN
    assert "GATEWAY_PUBLIC_URL=https://" in told.next


HTTP = {"GATEWAY_PUBLIC_URL": "http://gw.example.com"}
OPEN = {"JAMBONZ_WEBHOOK_SECRET": ""}
HEALTHY = {"status": "ok"}
REFUSED = {"error": "bad_signature", "message": "…", "details": None}


@pytest.mark.parametrize(
    ("env", "health", "hook", "status", "saw"),
    [
        ({}, (200, HEALTHY), (401, REFUSED), Status.OK, "is refused"),
        ({}, (200, HEALTHY), (401, {"error": "bad_basic_auth"}), Status.OK, "is refused"),
        ({}, (200, HEALTHY), (403, {"error": "address_not_allowed"}), Status.OK, "not from here"),
        (HTTP, (200, HEALTHY), (401, REFUSED), Status.WARN, "not https"),
        ({}, (200, "hi"), (401, REFUSED), Status.FAIL, "/healthz answers 200, not as"),
        ({}, (301, ""), (401, REFUSED), Status.FAIL, "/healthz answers 301"),
        ({}, (200, HEALTHY), (401, "no"), Status.FAIL, "not by the gateway"),
        ({}, (200, HEALTHY), (404, ""), Status.FAIL, "answered 404"),
        ({}, (200, HEALTHY), (422, {}), Status.FAIL, "without a signature"),
        (OPEN, (200, HEALTHY), (422, {}), Status.WARN, "without a signature"),
    ],
)
def test_what_a_public_url_answers(
    env: dict[str, str],
    health: tuple[int, Any],
    hook: tuple[int, Any],
    status: Status,
    saw: str,
    *,
    make_config: ConfigMaker,
) -> None:
    config = make_config({"GATEWAY_PUBLIC_URL": "https://gw.example.com", **env})
    told = public_answers(config, answer(*health), answer(*hook))
    assert told.status is status
    assert saw in told.saw


def answer(status: int, content: Any) -> Answer:
    return Answer(status, json.dumps(content).encode(), {}, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "3 s"), (119, "119 s"), (600, "10 min"), (7300, "2 h")]
)
def test_how_long_ago(seconds: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tools.doctor.gateway.time.time", lambda: 1_000_000.0)
    assert ago((1_000_000 - seconds) * 1000) == words
