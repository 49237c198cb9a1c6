"""Finding calls by the idempotency keys that they were dispatched with."""

from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from gateway.api.services import SERVICES
from tests.api.test_dispatch import dispatch
from tests.conftest import DISPATCH_KEY, READ_KEY, Client, GatewayStarter
from tests.fakes.livekit import Callee, FakeLiveKit


async def find(
    gateway: Client, *keys: str, api_key: str = DISPATCH_KEY, **more: str
) -> tuple[int, Any]:
    """The response of `GET /livekit-api/calls` for these keys."""
    query = [*(("idempotency_key", key) for key in keys), *more.items()]
    url = URL("/livekit-api/calls").with_query(query)
    async with gateway.get(str(url), headers={"X-API-Key": api_key}) as response:
        return response.status, await response.json()


async def found(gateway: Client, *keys: str, **more: str) -> dict[str, str]:
    """The id of each key's call."""
    status, answer = await find(gateway, *keys, **more)
    assert (status, answer["is_complete"]) == (200, True)
    return {call["idempotency_key"]: call["call_id"] for call in answer["calls"]}


async def test_the_calls_of_several_keys_are_found_in_one_request(gateway: Client) -> None:
    ids = {}
    for key in ("7-0", "7-1", "Łódź & Co"):
        _, answer = await dispatch(gateway, idempotency_key=key)
        ids[key] = answer["call_id"]
    await dispatch(gateway)
    assert await found(gateway, "7-1") == {"7-1": ids["7-1"]}
    assert await found(gateway, *ids, "7-1", "7-2") == ids
    assert await found(gateway, *ids, limit="2") == {key: ids[key] for key in ("7-1", "Łódź & Co")}
    assert await found(gateway, *ids, direction="inbound") == {}
    assert await found(gateway, "8-0") == {}
    _, everything = await find(gateway, "")
    assert [call["idempotency_key"] for call in everything["calls"]] == [None] * 4


async def test_a_call_that_did_not_connect_is_found(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    fake_livekit.callees["61402012298"] = Callee(sip=(486, "Busy Here"))
    _, refusal = await dispatch(gateway, idempotency_key="7-0")
    assert await found(gateway, "7-0") == {"7-0": refusal["call_id"]}


async def test_a_client_finds_calls_of_its_own_keys_only(gateway: Client) -> None:
    await dispatch(gateway, idempotency_key="7-0")
    _, answer = await find(gateway, "7-0", api_key=READ_KEY)
    assert answer["calls"] == []


async def test_a_call_is_found_after_the_registry_has_forgotten_it(
    start_gateway: GatewayStarter, tmp_path: Path
) -> None:
    gateway = await start_gateway(
        history={"url": f"sqlite:///{tmp_path}/history.db"},
        storage={"ended_ttl": 0},
        callbacks={"report_timeout": 0},
    )
    _, answer = await dispatch(gateway, idempotency_key="7-0")
    call_id = answer["call_id"]
    headers = {"X-API-Key": DISPATCH_KEY}
    async with gateway.post(f"/livekit-api/calls/{call_id}/hangup", headers=headers):
        pass
    services = gateway.app[SERVICES]
    assert services.history
    while await services.storage.registry.get(call_id):
        await services.history.step(settled_only=False)
        await services.deadline_loop.tick()
    assert await found(gateway, "7-0") == {"7-0": call_id}


@pytest.mark.parametrize("keys", [["k" * 256], [str(number) for number in range(101)]])
async def test_keys_that_are_too_long_or_too_many(gateway: Client, keys: list[str]) -> None:
    status, error = await find(gateway, *keys)
    assert (status, list(error["details"])) == (422, ["idempotency_key"])
