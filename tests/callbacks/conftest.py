"""A gateway that sends callbacks to a receiver on this machine, and what its calls go through."""

import asyncio
import json
from typing import Any

import pytest

from gateway.callbacks import delivery
from tests.api.test_dispatch import HEADERS, until
from tests.api.test_livekit import send
from tests.conftest import Client, GatewayStarter, get_call

ALLOWED = {"allowed_hosts": ["127.0.0.1"], "report_timeout": 0.1}
FREQUENT = {"interval": 0.05}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LONGEST_BACKOFF", 0.02)


@pytest.fixture
async def gateway(start_gateway: GatewayStarter) -> Client:
    return await start_gateway(callbacks=ALLOWED, monitor=FREQUENT)


async def hang_up(gateway: Client, call_id: str) -> None:
    """Hang the call up once it was answered: before that it would have no `call_started`."""
    await until(gateway, call_id, "ongoing")
    async with gateway.post(f"/livekit-api/calls/{call_id}/hangup", headers=HEADERS) as response:
        assert response.status == 200


async def report(
    gateway: Client, call_id: str, content: dict[str, object], event: str = "agent_ended"
) -> None:
    body = json.dumps({"event": event, "job_id": "AJ_1", "report": content}).encode()
    assert await send(gateway, f"/livekit-api/calls/{call_id}/report", body) == 204


async def deliveries(gateway: Client, call_id: str) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = (await get_call(gateway, call_id))["deliveries"]
    return listed


async def finished(gateway: Client, call_id: str, number: int) -> list[dict[str, Any]]:
    """The call's deliveries, once there are `number` and none is pending."""
    async with asyncio.timeout(10):
        while True:
            listed = await deliveries(gateway, call_id)
            if len(listed) >= number and all(item["status"] != "pending" for item in listed):
                return listed
            await asyncio.sleep(0.01)


async def first_error(gateway: Client, call_id: str) -> dict[str, Any]:
    """The call's first delivery, once an attempt has failed without a response."""
    async with asyncio.timeout(5):
        while not (first := (await deliveries(gateway, call_id))[0])["last_error"]:
            await asyncio.sleep(0.01)
    return first
