"""Gateways that share a PostgreSQL: its history survives `kill -9`, and when it is away itself."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gateway.config.settings import LOOPBACK
from gateway.tools.simulate.jambonz import Jambonz
from tests.conftest import WEBHOOK_SECRET
from tests.fakes.livekit import FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.history.postgres import Postgres
from tests.livekit.server import redis_server
from tests.ports import free_port
from tests.several.group import CALLED, CALLER, DISPATCH, LIMIT, READ, Gateway, environment


@pytest.fixture
async def gateways(
    postgres: Postgres, fake_livekit: FakeLiveKit, receiver: Receiver
) -> AsyncIterator[list[Gateway]]:
    """Two, with one Redis; neither is started."""
    with redis_server() as redis:
        ports = [free_port(), free_port()]
        env = environment(f"http://{LOOPBACK}:{ports[0]}", redis, fake_livekit, receiver)
        env |= {"HISTORY_URL": postgres.create_database("shared")}
        gateways = [Gateway(port, env) for port in ports]
        try:
            yield gateways
        finally:
            for gateway in gateways:
                gateway.stop()


async def end_call(http: aiohttp.ClientSession, gateway: Gateway) -> str:
    """A call that a client hangs up; returns its id."""
    url = f"http://{gateway.address}"
    await Jambonz(http, url, WEBHOOK_SECRET, CALLER, CALLED).call_arrives()
    async with http.get(f"{url}/livekit-api/calls", headers=READ) as response:
        call_id: str = (await response.json())["calls"][0]["call_id"]
    path = f"{url}/livekit-api/calls/{call_id}/hangup"
    async with http.post(path, headers=DISPATCH) as response:
        assert response.status == 200
    return call_id


async def saved(postgres: Postgres, *call_ids: str) -> None:
    """Until these calls are in the history, with the outcome of their last callback."""
    query = "SELECT call_id FROM calls WHERE deliveries LIKE '%call_analyzed%delivered%'"
    async with asyncio.timeout(LIMIT):
        while True:
            # At first there is no table.
            arguments = "-Atqc", query, "shared"
            psql = await asyncio.to_thread(postgres.run, "psql", *arguments, check=False)
            if set(call_ids) <= set(psql.stdout.decode().split()):
                return
            await asyncio.sleep(0.1)


async def test_a_killed_gateways_calls_are_saved_by_others_and_by_its_successor(
    gateways: list[Gateway], postgres: Postgres
) -> None:
    first, second = gateways
    async with aiohttp.ClientSession() as http:
        await first.start()
        one = await end_call(http, first)
        first.stop()  # SIGKILL
        await second.start()
        await saved(postgres, one)
        postgres.stop()
        try:
            two = await end_call(http, second)
            await told_unavailable(http, second)
            second.stop()
        finally:
            postgres.start()
        await first.start()
        await saved(postgres, one, two)
        url = f"http://{first.address}/livekit-api/today"
        async with http.get(url, headers=READ) as response:
            today = await response.json()
    assert (today["calls"], today["ended"], today["is_complete"]) == (2, 2, True)


async def told_unavailable(http: aiohttp.ClientSession, gateway: Gateway) -> None:
    """Until the gateway says that its history is away, while it is ready for calls."""
    url = f"http://{gateway.address}"
    async with asyncio.timeout(LIMIT):
        while True:
            async with http.get(f"{url}/livekit-api/diagnostics", headers=READ) as response:
                history = (await response.json())["history"]
            if history["state"] == "unavailable" and history["waiting"]:
                break
            await asyncio.sleep(0.1)
    async with http.get(f"{url}/readyz") as response:
        assert response.status == 200
