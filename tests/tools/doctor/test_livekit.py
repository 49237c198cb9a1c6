"""LiveKit, its key, the clocks, its SIP: a real server, and one that is not as it should be."""

from email.utils import formatdate

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.config.settings import Config
from gateway.tools.dev.livekit_server import LiveKitServer
from gateway.tools.doctor.check import Status
from gateway.tools.doctor.livekit import clock, key
from gateway.tools.doctor.web import Answer
from tests.conftest import ConfigMaker
from tests.ports import free_port
from tests.tools.doctor.conftest import Stack, look

SECRET = "another-secret-of-at-least-thirty-two-bytes"


def towards(url: str, make_config: ConfigMaker) -> Config:
    return make_config({"LIVEKIT_URL": url})


async def test_a_server_that_is_as_it_should_be(stack: Stack) -> None:
    for check in ("livekit", "clock", "livekit_key", "livekit_sip"):
        assert (await look(stack.config(), check)).status is Status.OK, check


async def test_a_secret_that_is_not_the_keys(stack: Stack) -> None:
    told = await look(stack.config(LIVEKIT_API_SECRET=SECRET), "livekit_key")
    assert told.status is Status.FAIL
    assert "LIVEKIT_API_SECRET is not its secret" in told.saw


async def test_a_key_of_another_project(stack: Stack) -> None:
    told = await look(stack.config(LIVEKIT_API_KEY="APIelsewhere"), "livekit_key")
    assert told.status is Status.FAIL
    assert "does not know LIVEKIT_API_KEY" in told.saw
    assert "APIelsewhere" not in told.saw


async def test_a_server_without_redis_has_no_sip(
    stack: Stack, livekit_without_redis: LiveKitServer
) -> None:
    server = livekit_without_redis
    config = stack.config(LIVEKIT_URL=server.url, LIVEKIT_API_SECRET=server.secret)
    told = await look(config, "livekit_sip")
    assert told.status is Status.FAIL
    assert "without Redis" in told.saw
    assert "redis: address:" in told.next


@pytest.mark.parametrize(
    ("url", "saw"),
    [
        ("ws://127.0.0.1:{free}", "refuses connections"),
        ("wss://127.0.0.1:{livekit}", "does not speak TLS"),
        ("wss://livekit.invalid", "the name livekit.invalid has no address"),
    ],
)
async def test_a_server_that_is_not_where_it_should_be(
    url: str, saw: str, livekit_without_redis: LiveKitServer, make_config: ConfigMaker
) -> None:
    place = url.format(free=free_port(), livekit=livekit_without_redis.port)
    told = await look(towards(place, make_config), "livekit")
    assert told.status is Status.FAIL
    assert saw in told.saw
    assert "LIVEKIT_URL" in told.next


async def test_a_proxy_without_a_livekit_behind_it(make_config: ConfigMaker) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=502)

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app) as server:
        told = await look(towards(str(server.make_url("")), make_config), "livekit")
    assert told.status is Status.FAIL
    assert "answers 502: something is there, but LiveKit is not" in told.saw


async def test_something_that_is_not_livekit(make_config: ConfigMaker) -> None:
    async with TestServer(web.Application()) as server:
        config = towards(str(server.make_url("")), make_config)
        assert (await look(config, "livekit")).status is Status.OK
        told = await look(config, "livekit_key")
    assert told.status is Status.FAIL
    assert "answers 404 to a list of rooms" in told.saw


@pytest.mark.parametrize(
    ("status", "words", "saw"),
    [
        (401, "token has invalid claims: token is expired", "the clocks differ"),
        (401, '{"code":"unauthenticated","msg":"permissions denied"}', "may not list rooms"),
        (401, "in words of another version", "does not accept LIVEKIT_API_KEY"),
    ],
)
def test_what_a_server_refuses_a_key_with(status: int, words: str, saw: str) -> None:
    told = key(Answer(status, words.encode(), {}, 0, 0), "livekit.example.com")
    assert told.status is Status.FAIL
    assert saw in told.saw
    assert words not in told.saw


NOON = 1_800_000_000.0


@pytest.mark.parametrize(
    ("ours", "status", "saw"),
    [
        (NOON + 0.9, Status.OK, "the same"),
        (NOON + 4.5, Status.OK, "4 s ahead of"),
        (NOON + 7.5, Status.WARN, "7 s ahead of"),
        (NOON - 29.5, Status.WARN, "30 s behind"),
        (NOON - 89.5, Status.FAIL, "90 s behind"),
    ],
)
def test_clocks_that_differ(ours: float, status: Status, saw: str) -> None:
    told = clock(formatdate(NOON, usegmt=True), ours)
    assert told.status is status
    assert saw in told.saw


def test_a_clock_that_is_not_told() -> None:
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
        config = towards(str(server.make_url("")), make_config)
        skewed = await look(config, "clock")
        refused = await look(config, "livekit_key")
    assert skewed.status is Status.FAIL
    assert "LiveKit's" in skewed.saw
    assert refused.status is Status.FAIL
    assert "the clocks differ" in refused.saw
    assert "eyJ" not in refused.saw
