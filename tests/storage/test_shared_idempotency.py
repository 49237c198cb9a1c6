"""Idempotency keys of several gateways: if one dies, another finishes the call."""

import asyncio

import pytest

from gateway.calls.call import Call, Direction
from gateway.storage.redis import idempotency
from tests.storage.conftest import StorageOpener, call


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """A gateway that does not renew its lease for 0.4 s counts as dead."""
    monkeypatch.setattr(idempotency, "LEASE_MS", 400)
    monkeypatch.setattr(idempotency, "RENEW_INTERVAL", 0.05)


class GatewayDies(asyncio.CancelledError):
    """Ends the creation of a call as the gateway's death would."""


@pytest.mark.parametrize("is_registered", [False, True])
async def test_a_gateway_that_dies_leaves_one_call(
    shared: StorageOpener, is_registered: bool
) -> None:
    async with shared.opened() as one, shared.opened() as other:
        created: list[str] = []

        def outbound(call_id: str) -> Call:
            return call(1, call_id=call_id, direction=Direction.OUTBOUND, jambonz={})

        async def die(call_id: str) -> Call:
            created.append(call_id)
            if is_registered:
                await one.registry.add(outbound(call_id))
            raise GatewayDies

        async def create(call_id: str) -> Call:
            created.append(call_id)
            return (await other.registry.add(outbound(call_id))).call

        with pytest.raises(asyncio.CancelledError):
            await one.idempotency.run("key", "print", die)
        result = await other.idempotency.run("key", "print", create)
        assert await one.idempotency.run("key", "print", create) == result
        # The other gateway finishes the call, registered or not, under the same id.
        assert created == [result.call_id] * 2
        assert await other.registry.count_active() == 1


async def test_a_slow_gateway_keeps_its_lease(shared: StorageOpener) -> None:
    async with shared.opened() as one, shared.opened() as other:
        created: list[str] = []

        async def create_slowly(call_id: str) -> Call:
            created.append(call_id)
            await asyncio.sleep(1.2)  # several leases
            return call(1, call_id=call_id)

        first = asyncio.ensure_future(one.idempotency.run("key", "print", create_slowly))
        async with asyncio.timeout(10):
            while not created:
                await asyncio.sleep(0.01)
        assert await other.idempotency.run("key", "print", create_slowly) == await first
        assert len(created) == 1
