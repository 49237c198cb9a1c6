"""Name servers that do not answer: calls go on, whichever name it is that hangs."""

import asyncio

import pytest

from common import resolver
from tests.api.test_dispatch import dispatch
from tests.callbacks.conftest import FREQUENT
from tests.conftest import GatewayStarter, jambonz_for
from tests.fakes.livekit import FakeLiveKit
from tests.fakes.name_server import NameServer

pytestmark = pytest.mark.field("E1")

LIVEKIT = "livekit.example.com"
#: The fake shares this process, which may be busy.
PATIENT = {"timeout": 8}


def by_name(livekit: FakeLiveKit) -> dict[str, str]:
    return {"LIVEKIT_URL": livekit.url.replace("127.0.0.1", LIVEKIT)}


async def test_callback_hosts_whose_names_hang_keep_no_caller_out(
    name_server: NameServer, start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    hanging = [f"hanging-{number}.example.com" for number in range(40)]
    name_server.addresses |= {host: [] for host in hanging} | {LIVEKIT: ["127.0.0.1"]}
    gateway = await start_gateway(
        by_name(fake_livekit),
        callbacks={"allowed_hosts": ["hanging-*"], "report_timeout": 0},
        monitor=FREQUENT,
        livekit=PATIENT,
    )
    for host in hanging:
        status, _ = await dispatch(gateway, callback_url=f"http://{host}/", wait="none")
        assert status == 200
    await name_server.asked(hanging)
    calls = await asyncio.gather(*(jambonz_for(gateway).call_arrives() for _ in range(20)))
    assert {verb["verb"] for (verb, *_) in calls} == {"dial"}


async def test_a_name_server_that_goes_silent_keeps_no_caller_out(
    name_server: NameServer,
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LiveKit's addresses are those that were known before."""
    monkeypatch.setattr(resolver, "FRESH", 0.0)
    monkeypatch.setattr(resolver, "TIMEOUT", 60.0)  # longer than LiveKit's
    name_server.addresses[LIVEKIT] = ["127.0.0.1"]
    gateway = await start_gateway(by_name(fake_livekit), livekit=PATIENT)
    assert (await jambonz_for(gateway).call_arrives())[0]["verb"] == "dial"
    name_server.silent = True
    asked = len(name_server.queries)
    calls = await asyncio.gather(*(jambonz_for(gateway).call_arrives() for _ in range(20)))
    assert {verb["verb"] for (verb, *_) in calls} == {"dial"}
    assert len(name_server.queries) > asked
