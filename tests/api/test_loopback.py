"""Without authentication: this machine's programs may ask, pages in its browser may not."""

import pytest
from livekit.protocol.room import CreateRoomRequest

from tests.api.test_dispatch import GUIDE
from tests.conftest import Client, GatewayStarter
from tests.fakes.livekit import FakeLiveKit

pytestmark = pytest.mark.field("F7")

FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "evil.example:8000"},
    {"Host": "127.0.0.1.evil.example"},
    {"Host": "localhost.evil.example"},
    {"Host": "192.0.2.1"},
    {"Host": "[2001:db8::1]:8000"},
    {"Host": ""},
    {"Origin": "http://evil.example"},
    {"Origin": "https://127.0.0.1.evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://["},
    {"Host": "evil.example", "Origin": "http://localhost"},
]
OWN = [
    {},
    {"Host": "127.0.0.1"},
    {"Host": "localhost:8000"},
    {"Host": "LOCALHOST"},
    {"Host": "[::1]:8000"},
    {"Host": "gateway.localhost"},
    {"Origin": "http://localhost:5678"},
    {"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"},
]


@pytest.fixture(params=["GATEWAY_API_KEYS", "JAMBONZ_WEBHOOK_SECRET"])
def missing(request: pytest.FixtureRequest) -> dict[str, str]:
    return {request.param: ""}


async def asked(gateway: Client, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async with gateway.post(path, json=GUIDE, headers=headers) as answer:
        return answer.status, (await answer.json()).get("error", "")


@pytest.mark.parametrize("headers", FOREIGN)
async def test_another_host_or_page_is_refused(
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    missing: dict[str, str],
    headers: dict[str, str],
) -> None:
    gateway = await start_gateway(missing)
    for path in ("/dispatch", "/livekit-api", "/livekit/webhook", "/nowhere"):
        assert await asked(gateway, path, headers) == (403, "host_not_allowed")
    for path in ("/livekit-api/calls", "/livekit-api/events", "/readyz"):
        async with gateway.get(path, headers=headers) as answer:
            assert answer.status == 403
    assert not fake_livekit.requested(CreateRoomRequest)


@pytest.mark.parametrize("headers", OWN)
async def test_this_machine_is_served(
    start_gateway: GatewayStarter, headers: dict[str, str]
) -> None:
    gateway = await start_gateway({"GATEWAY_API_KEYS": ""})
    assert await asked(gateway, "/dispatch", headers) == (200, "")


@pytest.mark.parametrize("is_open", [False, True])
async def test_with_authentication_or_on_purpose_every_host_is_served(
    start_gateway: GatewayStarter, is_open: bool
) -> None:
    env = {"GATEWAY_API_KEYS": ""} if is_open else {}
    gateway = await start_gateway(env, security={"allow_unauthenticated": is_open})
    headers = {"Host": "gateway.example.com", "Origin": "https://ops.example.com"}
    assert (await asked(gateway, "/dispatch", headers))[0] == (200 if is_open else 401)
