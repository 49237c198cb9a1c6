"""What every idempotency store must do."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from gateway.calls.call import Call, Direction
from gateway.calls.outcomes import SipOutcome
from gateway.config.settings import OutboundSettings
from gateway.errors import (
    ApiError,
    DialFailed,
    ErrorCode,
    GatewayError,
    LiveKitRefused,
    LiveKitUnreachable,
)
from gateway.storage.backend import StorageBackend
from gateway.storage.redis import idempotency as redis_idempotency
from tests.storage.conftest import CONFIG, StorageOpener, call


@dataclass
class Creator:
    """Creates calls: raises `errors` first, and waits for `ready` if there is one."""

    errors: list[Exception] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    ready: asyncio.Event | None = None

    async def create(self, call_id: str) -> Call:
        self.created.append(call_id)
        if self.ready:
            await self.ready.wait()
        if self.errors:
            raise self.errors.pop(0)
        metadata = {"a": 1}
        return call(1, call_id=call_id, direction=Direction.OUTBOUND, jambonz={}, metadata=metadata)

    async def has_begun(self) -> asyncio.Event:
        """Wait for the first call; its `ready`."""
        async with asyncio.timeout(10):
            while not self.created:
                await asyncio.sleep(0.01)
        assert self.ready
        return self.ready


async def test_concurrent_requests_with_one_key_get_one_call(opener: StorageOpener) -> None:
    creator = Creator(ready=asyncio.Event())
    async with opener.opened() as one, opener.opened() as other:
        gateways = (one, other if opener.redis_url else one)
        requests = [
            asyncio.ensure_future(
                gateways[number % 2].idempotency.run("key", "print", creator.create)
            )
            for number in range(6)
        ]
        (await creator.has_begun()).set()
        calls = await asyncio.gather(*requests)
        assert creator.created == [calls[0].call_id]
        assert all(created == calls[0] for created in calls)
        assert await gateways[1].idempotency.run("key", "print", creator.create) == calls[0]
        assert len(creator.created) == 1


@pytest.mark.field("B11")
async def test_a_key_may_have_any_byte_of_a_header(storage: StorageBackend) -> None:
    creator = Creator()
    every_byte = bytes(range(0x20, 0x100)).decode("latin-1")
    first = await storage.idempotency.run(every_byte, "print", creator.create)
    assert await storage.idempotency.run(every_byte, "print", creator.create) == first
    assert len(creator.created) == 1


async def test_the_call_of_a_key_is_found(storage: StorageBackend) -> None:
    find = storage.idempotency.find
    assert await find([]) == await find(["a"]) == {}
    creator = Creator(ready=asyncio.Event())
    request = asyncio.ensure_future(storage.idempotency.run("a", "print", creator.create))
    ready = await creator.has_begun()
    assert await find(["a"]) == {"a": creator.created[0]}  # while it is dialed
    ready.set()
    await request
    other = await storage.idempotency.run("Łódź", "print", creator.create)
    assert await find(["x", "Łódź", "a"]) == {"a": creator.created[0], "Łódź": other.call_id}
    refused = Creator([ApiError(ErrorCode.NO_AGENT, "no agent can be heard")])
    with pytest.raises(ApiError):
        await storage.idempotency.run("b", "print", refused.create)
    failed = Creator([DialFailed(ApiError(ErrorCode.NOT_ANSWERED, "no answer"), "outbound-1")])
    with pytest.raises(DialFailed):
        await storage.idempotency.run("c", "print", failed.create)
    assert await find(["b", "c"]) == {"c": failed.created[0]}


async def test_each_key_and_each_request_without_a_key_creates_a_call(
    storage: StorageBackend,
) -> None:
    creator = Creator()
    for key in ("a", "b", "", ""):
        await storage.idempotency.run(key, "print", creator.create)
    assert len(set(creator.created)) == 4


async def test_a_key_with_another_body_is_rejected(storage: StorageBackend) -> None:
    creator = Creator(ready=asyncio.Event())
    first = asyncio.ensure_future(storage.idempotency.run("key", "print", creator.create))
    ready = await creator.has_begun()
    with pytest.raises(ApiError) as before_it_is_created:
        await storage.idempotency.run("key", "another", creator.create)
    ready.set()
    await first
    with pytest.raises(ApiError) as afterwards:
        await storage.idempotency.run("key", "another", creator.create)
    for error in (before_it_is_created, afterwards):
        assert error.value.code == "idempotency_key_reused"
    assert len(creator.created) == 1


async def test_the_carriers_response_is_repeated(storage: StorageBackend) -> None:
    meta = {"sip_status_code": "403", "sip_status": "Forbidden auth ID"}
    refusal = LiveKitRefused("permission_denied", "no", status=403, meta=meta)
    creator = Creator([DialFailed(refusal, "outbound-1")])
    for _ in range(2):
        with pytest.raises(DialFailed) as failed:
            await storage.idempotency.run("key", "print", creator.create)
        cause = failed.value.cause
        assert isinstance(cause, LiveKitRefused)
        assert cause.sip == SipOutcome(403, "Forbidden auth ID")
        assert (cause.reason, cause.status) == ("403 Forbidden auth ID", 403)
        assert failed.value.call_id == cause.call_id == "outbound-1"
    assert len(creator.created) == 1


async def test_an_unanswered_dial_is_repeated_as_it_was(storage: StorageBackend) -> None:
    creator = Creator([DialFailed(ApiError(ErrorCode.NOT_ANSWERED, "no answer"), "outbound-1")])
    for _ in range(2):
        with pytest.raises(DialFailed) as failed:
            await storage.idempotency.run("key", "print", creator.create)
        cause = failed.value.cause
        assert isinstance(cause, ApiError)
        assert (cause.status, cause.code, cause.message) == (504, "not_answered", "no answer")
    assert len(creator.created) == 1


async def test_the_traceback_of_a_repeated_error_does_not_grow(storage: StorageBackend) -> None:
    creator = Creator([DialFailed(ApiError(ErrorCode.NOT_ANSWERED, "no answer"), "outbound-1")])
    depths = []
    for _ in range(4):
        with pytest.raises(DialFailed) as failed:
            await storage.idempotency.run("key", "print", creator.create)
        depths.append(len(failed.traceback))
    assert depths[1] == depths[-1]


@pytest.mark.field("B6", "B15")
@pytest.mark.parametrize(
    "error",
    [
        ApiError(ErrorCode.INVALID, "cannot use: callback_url"),
        ApiError(ErrorCode.NO_AGENT, "no agent can be heard"),
        ApiError(ErrorCode.TOO_MANY_CALLS, "that is the limit", retry_after=5),
        LiveKitRefused("unauthenticated", "invalid API key", status=401),
        LiveKitUnreachable("no answer"),
    ],
)
async def test_an_error_before_the_dial_frees_the_key(
    storage: StorageBackend, error: GatewayError
) -> None:
    creator = Creator([error])
    with pytest.raises(type(error)):
        await storage.idempotency.run("key", "print", creator.create)
    created = await storage.idempotency.run("key", "corrected", creator.create)
    assert len(set(creator.created)) == 2
    assert created.call_id == creator.created[1]
    assert await storage.idempotency.run("key", "corrected", creator.create) == created


async def test_a_transient_error_is_forgotten_though_the_client_has_gone(
    storage: StorageBackend,
) -> None:
    creator = Creator([LiveKitUnreachable("no answer")], ready=asyncio.Event())
    first = asyncio.ensure_future(storage.idempotency.run("key", "print", creator.create))
    ready = await creator.has_begun()
    first.cancel()
    await asyncio.wait({first})
    ready.set()
    await asyncio.sleep(0.1)
    created = await storage.idempotency.run("key", "print", creator.create)
    assert creator.created[1:] == [created.call_id]


@pytest.mark.field("D12")
async def test_a_defect_is_forgotten(
    storage: StorageBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_idempotency, "LEASE_MS", 200)
    creator = Creator([KeyError("a defect")])
    with pytest.raises(KeyError):
        await storage.idempotency.run("key", "print", creator.create)
    created = await storage.idempotency.run("key", "print", creator.create)
    assert creator.created[1:] == [created.call_id]


async def test_keys_expire(opener: StorageOpener) -> None:
    creator = Creator()
    config = replace(CONFIG, outbound=OutboundSettings(idempotency_ttl=0.2))
    async with opener.opened(config) as storage, asyncio.timeout(10):
        while len(creator.created) < 2:
            await storage.idempotency.run("key", "print", creator.create)
            await asyncio.sleep(0.01)
            opener.now += 10
        assert len(set(creator.created)) == 2
        while await storage.idempotency.find(["key"]):
            await asyncio.sleep(0.01)
            opener.now += 10


async def test_a_call_is_created_to_its_end_though_the_client_has_gone(
    storage: StorageBackend,
) -> None:
    creator = Creator(ready=asyncio.Event())
    first = asyncio.ensure_future(storage.idempotency.run("key", "print", creator.create))
    ready = await creator.has_begun()
    first.cancel()
    await asyncio.wait({first})
    ready.set()
    created = await storage.idempotency.run("key", "print", creator.create)
    assert creator.created == [created.call_id]
