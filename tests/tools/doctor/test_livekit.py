"""The checks of LiveKit: reachable, key, clock, SIP; on a real server and on broken ones."""

from email.utils import formatdate

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.config.settings import Config
from gateway.explanation.status import Status
from gateway.tools.dev.livekit_server import LiveKitServer
from gateway.tools.doctor.livekit import clock, key
from gateway.tools.doctor.web import Response
from tests.conftest import ConfigMaker
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, run_check

SECRET = "another-secret-of-at-least-thirty-two-bytes"


def config_for(url: str, make_config: ConfigMaker) -> Config:
    return make_config({"LIVEKIT_URL": url})


async def test_every_check_of_livekit_succeeds(stack: Stack) -> None:
    for check in ("livekit", "clock", "livekit_key", "livekit_sip"):
        assert (await run_check(stack.config(), check)).status is Status.OK, check


async def test_a_wrong_secret(stack: Stack) -> None:
    finding = await run_check(stack.config(LIVEKIT_API_SECRET=SECRET), "livekit_key")
    assert finding.status is Status.FAIL
    assert "LIVEKIT_API_SECRET is not its secret" in finding.message


async def test_a_key_of_another_project(stack: Stack) -> None:
    finding = await run_check(stack.config(LIVEKIT_API_KEY="APIelsewhere"), "livekit_key")
    assert finding.status is Status.FAIL
    assert "does not know LIVEKIT_API_KEY" in finding.message
    assert "APIelsewhere" not in finding.message


async def test_a_server_without_redis_has_no_sip(
    stack: Stack, livekit_without_redis: LiveKitServer
) -> None:
    server = livekit_without_redis
    config = stack.config(LIVEKIT_URL=server.url, LIVEKIT_API_SECRET=server.secret)
    finding = await run_check(config, "livekit_sip")
    assert finding.status is Status.FAIL
    assert "without Redis" in finding.message
    assert "redis: address:" in finding.next


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ws://127.0.0.1:{free}", "refuses connections"),
        ("wss://127.0.0.1:{livekit}", "does not speak TLS"),
        ("wss://livekit.invalid", "the name livekit.invalid has no address"),
    ],
)
async def test_an_unreachable_server(
    url: str, message: str, livekit_without_redis: LiveKitServer, make_config: ConfigMaker
) -> None:
    address = url.format(free=free_port(), livekit=livekit_without_redis.port)
    finding = await run_check(config_for(address, make_config), "livekit")
    assert finding.status is Status.FAIL
    assert message in finding.message
    assert "LIVEKIT_URL" in finding.next


async def test_a_proxy_without_a_livekit_behind_it(make_config: ConfigMaker) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=502)

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        finding = await run_check(config_for(str(server.make_url("")), make_config), "livekit")
    assert finding.status is Status.FAIL
    assert "answers 502: a proxy without LiveKit behind it" in finding.message


async def test_another_program_in_place_of_livekit(make_config: ConfigMaker) -> None:
    async with TestServer(web.Application()) as server:
        config = config_for(str(server.make_url("")), make_config)
        assert (await run_check(config, "livekit")).status is Status.OK
        finding = await run_check(config, "livekit_key")
    assert finding.status is Status.FAIL
    assert "answers 404 to a list of rooms" in finding.message


@pytest.mark.parametrize(
    ("status", "words", "message"),
    [
        (401, "token has invalid claims: token is expired", "the clocks differ"),
        (401, '{"code":"unauthenticated","msg":"permissions denied"}', "may not list rooms"),
        (401, "in words of another version", "does not accept LIVEKIT_API_KEY"),
    ],
)
def test_refusals_of_a_key(status: int, words: str, message: str) -> None:
    finding = key(Response(status, words.encode(), {}, 0, 0), "livekit.example.com")
    assert finding.status is Status.FAIL
    assert message in finding.message
    assert words not in finding.message


NOON = 1_800_000_000.0


@pytest.mark.parametrize(
    ("ours", "status", "message"),
    [
        (NOON + 0.9, Status.OK, "the same"),
        (NOON + 4.5, Status.OK, "4 s ahead of"),
        (NOON + 7.5, Status.WARN, "7 s ahead of"),
        (NOON - 29.5, Status.WARN, "30 s behind"),
        (NOON - 89.5, Status.FAIL, "90 s behind"),
    ],
)
def test_the_difference_of_the_clocks(ours: float, status: Status, message: str) -> None:
    finding = clock(formatdate(NOON, usegmt=True), ours)
    assert finding.status is status
    assert message in finding.message


def test_a_response_without_a_date() -> None:
    assert clock("", NOON).status is Status.OK


async def test_a_server_whose_clock_is_late(make_config: ConfigMaker) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text="OK", headers={"Date": formatdate(NOON, usegmt=True)})

    async def refuse(_: web.Request) -> web.Response:
        text = "invalid token: eyJhbGciOi, error: token has invalid claims: token is not valid yet"
        return web.Response(status=401, text=text)

    app = web.Application()
    app.router.add_get("/", answer)
    app.router.add_post("/twirp/livekit.RoomService/ListRooms", refuse)
    async with TestServer(app) as server:
        config = config_for(str(server.make_url("")), make_config)
        skewed = await run_check(config, "clock")
        refused = await run_check(config, "livekit_key")
    assert skewed.status is Status.FAIL
    assert "LiveKit's" in skewed.message
    assert refused.status is Status.FAIL
    assert "the clocks differ" in refused.message
    assert "eyJ" not in refused.message
