"""With inbound.strategy participant `setup` names the carrier that Jambonz needs for LiveKit."""

from contextlib import AsyncExitStack
from typing import Any, cast

import pytest

from gateway.livekit.trunks import SipItem
from gateway.tools.setup.apply import SipStore
from gateway.tools.setup.command import Options, Setup
from gateway.tools.setup.jambonz_rest import JambonzAccount
from tests.conftest import ConfigMaker
from tests.fakes.jambonz_rest import FakeJambonz, application, carrier

NEEDED = "list the addresses that LiveKit calls from (sip.example.com) as inbound SIP gateways"


class EmptyLiveKit:
    """A LiveKit without trunks and rules."""

    async def listed(self) -> list[SipItem]:
        return []


async def output_of_setup(
    make_config: ConfigMaker, fake: FakeJambonz | None, **inbound: Any
) -> str:
    """What `setup` prints; with `fake` what `setup --jambonz` does."""
    trunks = {
        "inbound_addresses": ["192.0.2.10"],
        "outbound_address": "sbc.example.com",
        "outbound_numbers": ["+15550100"],
    }
    env = {**(fake.env if fake else {}), "GATEWAY_PUBLIC_URL": "https://gw.example.com"}
    config = make_config(env, inbound=inbound, trunks=trunks)
    lines: list[str] = []
    async with AsyncExitStack() as stack:
        account = None
        if fake:
            account = await stack.enter_async_context(JambonzAccount.connected(config.jambonz))
        setup = Setup(config, Options(jambonz=bool(fake)), None, lines.append)
        await setup.run(cast(SipStore, EmptyLiveKit()), account)
    return " ".join("\n".join(lines).split())


@pytest.mark.field("J9")
async def test_without_the_rest_api_the_carrier_is_named(make_config: ConfigMaker) -> None:
    assert NEEDED in await output_of_setup(make_config, None, strategy="participant")
    assert NEEDED not in await output_of_setup(make_config, None, strategy="room")


@pytest.mark.field("J9")
@pytest.mark.parametrize("has_application", [True, False])
async def test_with_the_rest_api_a_missing_carrier_is_named(
    make_config: ConfigMaker, *, has_application: bool
) -> None:
    calls = application("calls")
    sid = calls["application_sid"] if has_application else ""
    fake = FakeJambonz([calls], carriers=[carrier("livekit", sid)])
    async with fake.serving():
        output = await output_of_setup(make_config, fake, strategy="participant")
    missing = "no carrier of the Jambonz account has the application 'calls'"
    assert (missing in output, NEEDED in output) == ((False, False) if sid else (True, True))
