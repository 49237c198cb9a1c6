"""The checks of the gateway: configuration, process, public URL, legacy route, stray rooms."""

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.api.services import SERVICES
from gateway.clock import Clock
from gateway.config.loader import DEV_LIVEKIT
from gateway.explanation.status import Status
from gateway.security.api_keys import digest_of
from gateway.tools.doctor.gateway import ago, configuration, public_answers
from gateway.tools.doctor.web import Response
from tests.api.test_legacy import legacy_call
from tests.conftest import READ_KEY, Client, ConfigMaker, GatewayStarter, jambonz_for
from tests.fakes.livekit import FakeLiveKit, TwirpError
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, run_check


def url_of(client: Client) -> str:
    return str(client.make_url("")).rstrip("/")


def test_a_configuration_with_authentication(make_config: ConfigMaker) -> None:
    finding = configuration(make_config())
    assert finding.status is Status.OK
    assert "agent 'nehos-outbound-agent'" in finding.message


@pytest.mark.parametrize(
    ("missing", "effect", "allowed"),
    [
        ("JAMBONZ_WEBHOOK_SECRET", "loopback only", False),
        ("GATEWAY_API_KEYS", "anyone may use these endpoints", True),
    ],
)
def test_unauthenticated_endpoints(
    missing: str, effect: str, allowed: bool, make_config: ConfigMaker
) -> None:
    finding = configuration(make_config({missing: ""}, security={"allow_unauthenticated": allowed}))
    assert finding.status is Status.WARN
    assert f"{missing} not set: " in finding.message
    assert effect in finding.message
    assert missing in finding.next


@pytest.mark.parametrize(("url", "is_dev"), [("ws://127.0.0.1:7880", True), ("", False)])
async def test_what_make_run_starts_needs_no_keys(
    url: str, is_dev: bool, make_config: ConfigMaker
) -> None:
    """With a LiveKit of one's own it is another matter."""
    livekit = {"LIVEKIT_URL": "ws://127.0.0.1:7880", "LIVEKIT_SIP_HOST": "127.0.0.1"}
    config = make_config({"GATEWAY_API_KEYS": "", **livekit})
    env = {DEV_LIVEKIT: url or "ws://127.0.0.1:7881"}
    for check in ("configuration", "public_url"):
        finding = await run_check(config, check, env=env)
        assert finding.status is (Status.OK if is_dev else Status.WARN)
    assert (await run_check(config, "sip_host", env=env)).status is (
        Status.SKIP if is_dev else Status.OK
    )


def test_unauthenticated_callbacks(make_config: ConfigMaker) -> None:
    config = make_config({"CALLBACK_SECRET": ""}, callbacks={"urls": ["https://n8n.example.com/"]})
    assert "CALLBACK_SECRET" in configuration(config).next


async def test_a_gateway_that_runs(gateway: Client, make_config: ConfigMaker) -> None:
    finding = await run_check(make_config(), "gateway", url=url_of(gateway))
    assert finding.status is Status.OK
    assert "ready" in finding.message


async def test_a_gateway_that_does_not_run(make_config: ConfigMaker) -> None:
    finding = await run_check(make_config(), "gateway", url=f"http://127.0.0.1:{free_port()}")
    assert finding.status is Status.FAIL
    assert "refuses connections" in finding.message
    assert "python -m gateway serve" in finding.next


async def test_another_program_in_place_of_the_gateway(make_config: ConfigMaker) -> None:
    async with TestServer(web.Application()) as server:
        finding = await run_check(make_config(), "gateway", url=str(server.make_url("")))
    assert finding.status is Status.FAIL
    assert "another program answers" in finding.message


@pytest.mark.field("F7")
async def test_a_gateway_without_credentials_at_another_name(make_config: ConfigMaker) -> None:
    refusal = {"error": "host_not_allowed", "message": "Host 'gateway.example.com' is …"}

    async def refuse(_: web.Request) -> web.Response:
        return web.json_response(refusal, status=403)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", refuse)
    async with TestServer(app) as server:
        url = str(server.make_url("")).rstrip("/")
        config = make_config(server={"public_url": url})
        for name in ("gateway", "public_url"):
            finding = await run_check(config, name, url=url)
            assert finding.status is Status.FAIL
            assert "Host 'gateway.example.com'" in finding.message
            assert "GATEWAY_API_KEYS" in finding.next


async def test_a_gateway_that_is_not_ready(
    gateway: Client, fake_livekit: FakeLiveKit, make_config: ConfigMaker
) -> None:
    fake_livekit.failures.append(TwirpError(403, "permission_denied", "not today"))
    finding = await run_check(make_config(), "gateway", url=url_of(gateway))
    assert finding.status is Status.FAIL
    assert "livekit: LiveKit refused: not today" in finding.message


async def test_a_gateway_with_another_strategy(gateway: Client, make_config: ConfigMaker) -> None:
    config = make_config(inbound={"strategy": "participant"})
    finding = await run_check(config, "gateway", url=url_of(gateway))
    assert finding.status is Status.WARN
    assert "'room', here 'participant' is configured" in finding.message


async def test_a_gateway_of_another_version(
    gateway: Client, make_config: ConfigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.tools.doctor.gateway.__version__", "9.9.9")
    finding = await run_check(make_config(), "gateway", url=url_of(gateway))
    assert finding.status is Status.WARN
    assert "doctor is 9.9.9" in finding.message


async def test_an_api_key_that_the_gateway_refuses(
    gateway: Client, make_config: ConfigMaker
) -> None:
    env = {"GATEWAY_API_KEYS": "ops:read:unknown"}
    finding = await run_check(make_config(env), "gateway", env=env, url=url_of(gateway))
    assert finding.status is Status.WARN
    assert "GATEWAY_API_KEYS" in finding.next
    assert "unknown" not in finding.message


async def test_an_api_key_known_by_its_hash_only(gateway: Client, make_config: ConfigMaker) -> None:
    env = {"GATEWAY_API_KEYS": f"ops:read:sha256={digest_of(READ_KEY).hex()}"}
    finding = await run_check(make_config(env), "gateway", env=env, url=url_of(gateway))
    assert finding.status is Status.WARN
    assert "GATEWAY_API_KEYS=name:read:secret" in finding.message


async def test_an_address_that_is_not_allowed(
    start_gateway: GatewayStarter, make_config: ConfigMaker
) -> None:
    gateway = await start_gateway(security={"api_addresses": ["192.0.2.1"]})
    finding = await run_check(make_config(), "gateway", url=url_of(gateway))
    assert finding.status is Status.WARN
    assert "127.0.0.1 is not listed in" in finding.message
    assert "security.api_addresses" in finding.next


async def test_calls_over_the_legacy_route(
    start_gateway: GatewayStarter, make_config: ConfigMaker
) -> None:
    client = await start_gateway()
    assert (await run_check(make_config(), "legacy_route", url=url_of(client))).status is Status.OK
    await legacy_call(client)
    finding = await run_check(make_config(), "legacy_route", url=url_of(client))
    assert finding.status is Status.WARN
    assert "calls over /livekit-simple since the gateway started: 1" in finding.message
    assert "setup --jambonz --apply" in finding.next


@pytest.mark.parametrize("url", ["ws://192.0.2.1:7880", "wss://project.livekit.cloud"])
async def test_unsolicited_calls(
    start_gateway: GatewayStarter, make_config: ConfigMaker, url: str
) -> None:
    client = await start_gateway()
    config = make_config({"LIVEKIT_URL": url})
    assert (await run_check(make_config(), "stray_rooms", url=url_of(client))).status is Status.OK
    assert client.app
    client.app[SERVICES].counters.stray_room(Clock()())
    finding = await run_check(config, "stray_rooms", url=url_of(client))
    assert finding.status is Status.WARN
    assert (
        "unsolicited calls to LiveKit, ended by the gateway: to rooms of their own 1"
        in finding.message
    )
    assert "trunks.inbound_addresses" in finding.next
    assert ("auto_create: false" in finding.next) is not config.livekit.is_cloud


@pytest.mark.field("C3")
async def test_calls_without_status_hooks(gateway: Client, make_config: ConfigMaker) -> None:
    url = url_of(gateway)
    assert (await run_check(make_config(), "status_hooks", url=url)).status is Status.OK
    jambonz = jambonz_for(gateway)
    await jambonz.call_arrives()
    finding = await run_check(make_config(), "status_hooks", url=url)
    assert finding.status is Status.WARN
    assert "no call status hook" in finding.message
    assert "/livekit-api/call-status" in finding.next
    await jambonz.status("trying", 100)
    assert (await run_check(make_config(), "status_hooks", url=url)).status is Status.OK


async def test_a_public_url_that_leads_here(stack: Stack) -> None:
    finding = await run_check(stack.config(), "public_url")
    assert finding.status is Status.OK
    assert "an unsigned hook is refused there" in finding.message


async def test_a_public_url_that_leads_nowhere(make_config: ConfigMaker) -> None:
    config = make_config({"GATEWAY_PUBLIC_URL": f"http://127.0.0.1:{free_port()}"})
    finding = await run_check(config, "public_url")
    assert finding.status is Status.FAIL
    assert "GATEWAY_PUBLIC_URL" in finding.next


async def test_no_public_url(make_config: ConfigMaker) -> None:
    finding = await run_check(make_config(), "public_url")
    assert finding.status is Status.WARN
    assert "GATEWAY_PUBLIC_URL=https://" in finding.next


HTTP = {"GATEWAY_PUBLIC_URL": "http://gw.example.com"}
OPEN = {"JAMBONZ_WEBHOOK_SECRET": ""}
HEALTHY = {"status": "ok"}
REFUSED = {"error": "bad_signature", "message": "…", "details": None}


@pytest.mark.parametrize(
    ("env", "health", "hook", "status", "message"),
    [
        ({}, (200, HEALTHY), (401, REFUSED), Status.OK, "is refused"),
        ({}, (200, HEALTHY), (401, {"error": "bad_basic_auth"}), Status.OK, "is refused"),
        (
            {},
            (200, HEALTHY),
            (403, {"error": "address_not_allowed"}),
            Status.OK,
            "not from this machine",
        ),
        (HTTP, (200, HEALTHY), (401, REFUSED), Status.WARN, "not https"),
        ({}, (200, "hi"), (401, REFUSED), Status.FAIL, "/healthz answers 200, not as"),
        ({}, (301, ""), (401, REFUSED), Status.FAIL, "/healthz answers 301"),
        ({}, (200, HEALTHY), (401, "no"), Status.FAIL, "not by the gateway"),
        ({}, (200, HEALTHY), (404, ""), Status.FAIL, "answered with 404"),
        ({}, (200, HEALTHY), (422, {}), Status.FAIL, "without a signature"),
        (OPEN, (200, HEALTHY), (422, {}), Status.WARN, "without a signature"),
    ],
)
def test_the_responses_of_a_public_url(
    env: dict[str, str],
    health: tuple[int, Any],
    hook: tuple[int, Any],
    status: Status,
    message: str,
    *,
    make_config: ConfigMaker,
) -> None:
    config = make_config({"GATEWAY_PUBLIC_URL": "https://gw.example.com", **env})
    finding = public_answers(config, response(*health), response(*hook))
    assert finding.status is status
    assert message in finding.message


def response(status: int, content: Any) -> Response:
    return Response(status, json.dumps(content).encode(), {}, 0, 0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(3, "3 s"), (119, "119 s"), (600, "10 min"), (7300, "2 h")]
)
def test_the_time_since_an_event(seconds: int, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.tools.doctor.gateway.time.time", lambda: 1_000_000.0)
    assert ago((1_000_000 - seconds) * 1000) == words
