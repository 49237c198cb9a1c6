"""Callers who call at once, on real SIP, with the voice pipeline."""

import asyncio
import statistics
from pathlib import Path

import aiohttp
import pytest

from gateway.tools.simulate.model_server import ModelServer
from tests.sip.conftest import VOICE_AGENT, hang_up
from tests.sip.servers import Telephony
from tests.sip.talker import Talker
from tests.sip.test_inbound import jambonz_for
from tests.sip.test_transfer import answered
from tests.voice.conftest import GREETING

CALLS = 8


@pytest.mark.timeout(240)
async def test_callers_at_once_are_each_greeted(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    models: ModelServer,
    tmp_path: Path,
) -> None:
    loop = asyncio.get_running_loop()

    async def call(number: int) -> float:
        """After how many s the caller heard the agent."""
        began = loop.time()
        folder = tmp_path / str(number)
        jambonz = jambonz_for(telephony, room_gateway, AGENT_NAME=VOICE_AGENT)
        async with (
            Talker.at(telephony.carrier_address) as phone,
            answered(telephony, jambonz, phone, folder, "call_of_a_stranger") as talk,
        ):
            await phone.greeted()
            assert phone.heard_at
            await phone.hears(GREETING)
            await hang_up(room_gateway, talk.call_id)
            await talk.caller.finished()
            return phone.heard_at - began

    await call(0)  # the first one loads what later ones have
    await asyncio.sleep(1)
    waits = await asyncio.gather(*(call(number) for number in range(1, CALLS + 1)))
    # For docs/benchmarks.md.
    print(f"first word after {statistics.median(waits):.2f} s, the last {max(waits):.2f} s")  # noqa: T201
