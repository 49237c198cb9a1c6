"""What every memory of idempotency keys must do."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from gateway.calls.call import Call, Direction, SipOutcome
from gateway.config.settings import OutboundSettings
from gateway.errors import ApiError, ErrorCode, GatewayError, LiveKitRefused, LiveKitUnreachable
from gateway.storage.stores import StorageBackend
from tests.storage.conftest import CONFIG, Opener, call


@dataclass
class Maker:
    """Makes calls, each as `outcomes` say, then without a fault; only once `ready`."""

    outcomes: list[GatewayError] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    ready: asyncio.Event | None = None

    async def make(self, call_id: str) -> Call:
        self.made.append(call_id)
        if self.ready:
            await self.ready.wait()
        if self.outcomes:
            raise self.outcomes.pop(0)
        return call(1, call_id=call_id, direction=Direction.OUTBOUND, jambonz={}, metadata={"a": 1})


async def test_one_call_for_one_key_also_at_once(opener: Opener) -> None:
    maker = Maker(ready=asyncio.Event())
    async with opener.opened() as one, opener.opened() as other:
        gateways = (one, other if opener.redis else one)
        runs = [
            asyncio.ensure_future(gateways[number % 2].idempotency.run("key", "print", maker.make))
            for number in range(6)
        ]
        async with asyncio.timeout(10):
            while not maker.made:
                await asyncio.sleep(0.01)
        assert maker.ready
        maker.ready.set()
        outcomes = await asyncio.gather(*runs)
        assert maker.made == [outcomes[0].call_id]
        assert all(outcome == outcomes[0] for outcome in outcomes)
        assert await gateways[1].idempotency.run("key", "print", maker.make) == outcomes[0]
        assert len(maker.made) == 1


async def test_another_key_is_another_call_and_no_key_is_none(stores: StorageBackend) -> None:
    maker = Maker()
    for key in ("a", "b", "", ""):
        await stores.idempotency.run(key, "print", maker.make)
    assert len(set(maker.made)) == 4


async def test_a_key_with_another_body_is_refused(stores: StorageBackend) -> None:
    maker = Maker(ready=asyncio.Event())
    first = asyncio.ensure_future(stores.idempotency.run("key", "print", maker.make))
    async with asyncio.timeout(10):
        while not maker.made:
            await asyncio.sleep(0.01)
    with pytest.raises(ApiError) as under_way:
        await stores.idempotency.run("key", "another", maker.make)
    assert maker.ready
    maker.ready.set()
    await first
    with pytest.raises(ApiError) as afterwards:
        await stores.idempotency.run("key", "another", maker.make)
    assert {each.value.code for each in (under_way, afterwards)} == {"idempotency_key_reused"}
    assert len(maker.made) == 1


async def test_a_refusal_is_remembered_as_it_was(stores: StorageBackend) -> None:
    details = {"callback_url": ["It leads into a private network."]}
    maker = Maker([ApiError(ErrorCode.INVALID, "cannot use: callback_url", details)])
    for _ in range(2):
        with pytest.raises(ApiError) as refused:
            await stores.idempotency.run("key", "print", maker.make)
        error = refused.value
        assert (error.status, error.code, error.details) == (422, "invalid", details)
        assert error.message == "cannot use: callback_url"
    assert len(maker.made) == 1


async def test_what_the_carrier_said_is_remembered(stores: StorageBackend) -> None:
    meta = {"sip_status_code": "403", "sip_status": "Forbidden auth ID"}
    maker = Maker([LiveKitRefused("permission_denied", "no", status=403, meta=meta)])
    for _ in range(2):
        with pytest.raises(LiveKitRefused) as refused:
            await stores.idempotency.run("key", "print", maker.make)
        assert refused.value.sip == SipOutcome(403, "Forbidden auth ID")
        assert refused.value.reason == "403 Forbidden auth ID"
        assert (refused.value.code, refused.value.status) == ("permission_denied", 403)
    assert len(maker.made) == 1


@pytest.mark.parametrize(
    "fault",
    [
        ApiError(ErrorCode.NO_AGENT, "no worker took the job"),
        ApiError(ErrorCode.TOO_MANY_CALLS, "that is the limit", retry_after=5),
        LiveKitUnreachable("no answer"),
    ],
)
async def test_a_fault_that_may_pass_is_forgotten(
    stores: StorageBackend, fault: GatewayError
) -> None:
    maker = Maker([fault])
    with pytest.raises(type(fault)):
        await stores.idempotency.run("key", "print", maker.make)
    outcome = await stores.idempotency.run("key", "print", maker.make)
    assert len(set(maker.made)) == 2
    assert outcome.call_id == maker.made[1]
    assert await stores.idempotency.run("key", "print", maker.make) == outcome


async def test_keys_are_forgotten_in_time(opener: Opener) -> None:
    maker = Maker()
    config = replace(CONFIG, outbound=OutboundSettings(idempotency_ttl=0.2))
    async with opener.opened(config) as stores, asyncio.timeout(10):
        while len(maker.made) < 2:
            await stores.idempotency.run("key", "print", maker.make)
            await asyncio.sleep(0.01)
            opener.now += 10
        assert len(set(maker.made)) == 2


async def test_a_call_is_made_to_its_end_though_nobody_waits(stores: StorageBackend) -> None:
    maker = Maker(ready=asyncio.Event())
    first = asyncio.ensure_future(stores.idempotency.run("key", "print", maker.make))
    async with asyncio.timeout(10):
        while not maker.made:
            await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.wait({first})
    assert maker.ready
    maker.ready.set()
    outcome = await stores.idempotency.run("key", "print", maker.make)
    assert maker.made == [outcome.call_id]
