"""What API clients write into a dispatch, and what becomes of it."""

import asyncio
from typing import Any

import pytest
from aiohttp.test_utils import TestClient
from livekit.protocol.room import CreateRoomRequest
from livekit.protocol.sip import CreateSIPParticipantRequest

from gateway.calls.call import Call
from gateway.livekit.metadata import MAX_METADATA
from gateway.storage.memory.idempotency import MemoryIdempotencyStore
from tests.api.test_dispatch import GUIDE, HEADERS, LEAST, dispatch, the_call
from tests.conftest import Client, GatewayStarter, list_calls
from tests.fakes.livekit import FakeLiveKit


async def refused(gateway: Client, fake_livekit: FakeLiveKit, **fields: Any) -> dict[str, Any]:
    """The error of a request with `fields`, for which nothing must have happened."""
    status, error = await dispatch(gateway, {**GUIDE, **fields})
    assert status in {403, 422}, error
    assert not fake_livekit.requests
    assert (await list_calls(gateway, "?include=ended"))["calls"] == []
    return error


async def dialed(gateway: Client, fake_livekit: FakeLiveKit, **fields: Any) -> Any:
    """LiveKit's dial for a request with the least fields and `fields`."""
    status, answer = await dispatch(gateway, {**LEAST, **fields})
    assert status == 200, answer
    (leg,) = fake_livekit.requested(CreateSIPParticipantRequest)
    return leg


@pytest.mark.field("B8")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("caller_number", value)
            for value in (
                "anonymous@evil.example.com;tag=zz",
                "a\\b",
                "[object Object]",
                "undefined",
                "null",
                "tel:+61491570156",
                "a" * 65,
            )
        ),
        *(("caller_name", value) for value in ("undefined", "a\x85b", "a\u2028b")),
        *(("account_code", value) for value in ("undefined", "a\r\nX-Evil: 1", "a\x85b", "a<b")),
        *(("caller_id", value) for value in ("undefined", "a\nb", "😀" * 65)),
    ],
)
async def test_what_no_sip_header_can_have_is_refused(
    gateway: Client, fake_livekit: FakeLiveKit, field: str, value: str
) -> None:
    error = await refused(gateway, fake_livekit, **{field: value})
    assert list(error["details"]) == [field]


@pytest.mark.field("B8")
async def test_a_callers_number_loses_its_separators(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    leg = await dialed(gateway, fake_livekit, caller_number="(02) 1234-5678")
    assert leg.sip_number == "0212345678"
    assert (await the_call(gateway))["from_number"] == "0212345678"


@pytest.mark.field("B8")
async def test_an_id_that_cannot_name_the_caller_needs_a_number_beside_it(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    status, error = await dispatch(gateway, {**LEAST, "caller_id": "Support desk"})
    assert (status, list(error["details"])) == (422, ["caller_id"])
    assert "caller_number" in str(error["details"])
    leg = await dialed(
        gateway, fake_livekit, caller_id="Support desk", caller_number="+61491570110"
    )
    assert (leg.participant_identity, leg.sip_number) == ("Support desk", "+61491570110")


@pytest.mark.field("B9")
@pytest.mark.parametrize("name", ["ü" * 65, "😀" * 33, "ACME\\Sales"])
async def test_a_name_that_livekit_does_not_take_is_refused(
    gateway: Client, fake_livekit: FakeLiveKit, name: str
) -> None:
    error = await refused(gateway, fake_livekit, caller_name=name)
    assert list(error["details"]) == ["caller_name"]


@pytest.mark.field("B9")
async def test_a_name_of_128_bytes_is_taken(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    leg = await dialed(gateway, fake_livekit, caller_name="ü" * 64)
    assert leg.display_name == "ü" * 64


@pytest.mark.field("B10")
@pytest.mark.parametrize("field", ["metadata", "session_options"])
async def test_more_metadata_than_livekit_takes_is_refused(
    gateway: Client, fake_livekit: FakeLiveKit, field: str
) -> None:
    status, error = await dispatch(gateway, {**LEAST, field: {"text": "x" * MAX_METADATA}})
    assert (status, error["error"]) == (422, "invalid")
    assert field in error["details"]
    assert str(MAX_METADATA) in str(error["details"])
    assert not fake_livekit.requests
    assert (await list_calls(gateway, "?include=ended"))["calls"] == []


@pytest.mark.field("B10")
async def test_the_limit_counts_what_the_gateway_adds(
    gateway: Client, fake_livekit: FakeLiveKit
) -> None:
    text = "x" * (MAX_METADATA - 1200)
    status, _ = await dispatch(gateway, {**LEAST, "metadata": {"text": text}})
    assert status == 200
    (room,) = fake_livekit.requested(CreateRoomRequest)
    (agent,) = room.agents
    assert MAX_METADATA - 1200 < len(agent.metadata) <= MAX_METADATA
    status, _ = await dispatch(gateway, {**LEAST, "metadata": {"text": text + "x" * 1100}})
    assert status == 422


@pytest.mark.field("B12")
@pytest.mark.parametrize("blank", ["", "  ", None])
async def test_a_blank_optional_field_counts_as_left_out(
    gateway: Client, fake_livekit: FakeLiveKit, blank: str | None
) -> None:
    optional = (
        *("transfer_target", "caller_id", "caller_number", "caller_name", "metadata"),
        *("agent_name", "session_options", "max_call_duration", "ringing_timeout"),
        *("record_call", "wait", "callback_url", "callback_events", "idempotency_key"),
    )
    leg = await dialed(gateway, fake_livekit, **dict.fromkeys(optional, blank))
    assert leg.sip_number == leg.display_name == ""
    assert leg.ringing_timeout.seconds == 30


@pytest.mark.field("B12")
@pytest.mark.parametrize("field", ["destination", "account_code"])
@pytest.mark.parametrize("blank", ["", " ", None])
async def test_a_blank_required_field_is_refused(
    gateway: Client, fake_livekit: FakeLiveKit, field: str, blank: str | None
) -> None:
    error = await refused(gateway, fake_livekit, **{field: blank})
    assert list(error["details"]) == [field]


@pytest.mark.field("B12")
async def test_an_integer_is_its_digits(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    leg = await dialed(
        gateway,
        fake_livekit,
        destination=61402012298,
        caller_number=61491570110,
        transfer_target=61491570157,
        account_code=4711,
    )
    assert (leg.sip_call_to, leg.sip_number) == ("61402012298", "61491570110")
    assert dict(leg.headers) == {"X-Account-Code": "4711"}
    call = await the_call(gateway)
    assert call["metadata"]["transfer_target"] == "61491570157"


@pytest.mark.field("B13")
@pytest.mark.parametrize(("seconds", "status"), [(80, 200), (81, 422), (120, 422)])
async def test_no_dial_rings_longer_than_livekit_lets_it(
    gateway: Client, seconds: int, status: int
) -> None:
    assert (await dispatch(gateway, ringing_timeout=seconds))[0] == status


@pytest.mark.field("B14")
async def test_a_sip_uri_needs_a_caller(gateway: Client, fake_livekit: FakeLiveKit) -> None:
    uri = {**LEAST, "destination": "sip:anna@pbx.example.com"}
    status, error = await dispatch(gateway, uri)
    assert (status, list(error["details"])) == (422, ["caller_number"])
    assert "outbound.default_caller" in str(error["details"])
    assert not fake_livekit.requests


@pytest.mark.field("B14")
async def test_the_default_caller_calls_where_a_request_names_none(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound={"default_caller": "+61491570110"})
    leg = await dialed(gateway, fake_livekit, destination="sip:anna@pbx.example.com")
    assert leg.sip_number == "+61491570110"
    status, _ = await dispatch(gateway, {**LEAST, "caller_number": "+61491570157"})
    assert status == 200
    assert fake_livekit.requested(CreateSIPParticipantRequest)[-1].sip_number == "+61491570157"


@pytest.mark.field("B17")
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("destination", value) for value in ("000", "112", "911", "999", "sip:x@10.0.0.5:22")),
        *(("destination", value) for value in ("sip:x@169.254.169.254", "sip:x@localhost")),
        ("destination", "+6119001234"),
        ("transfer_target", "112"),
        ("transfer_target", "sip:x@127.0.0.1"),
        ("transfer_target", "+6119001234"),
    ],
)
async def test_some_destinations_are_not_called(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit, field: str, value: str
) -> None:
    gateway = await start_gateway(outbound={"denied": ["+611900*"]})
    error = await refused(gateway, fake_livekit, **{field: value})
    assert error["error"] == "destination_not_allowed"
    assert list(error["details"]) == [field]


@pytest.mark.field("B17")
async def test_with_allowed_patterns_nothing_else_is_called(
    start_gateway: GatewayStarter, fake_livekit: FakeLiveKit
) -> None:
    gateway = await start_gateway(outbound={"allowed": ["+61*", "112", "sip:*@10.0.0.5:5060"]})
    await refused(gateway, fake_livekit, destination="+15550100")
    for destination in ("+61402012298", "112", "sip:x@10.0.0.5:5060"):
        assert (await dispatch(gateway, {**GUIDE, "destination": destination}))[0] == 200


@pytest.mark.field("B11")
async def test_a_key_of_latin_1_is_one_key(
    gateway: Client, fake_livekit: FakeLiveKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """n8n sends header values as Latin-1; aiohttp's client sends UTF-8 only."""
    stored: list[str] = []
    run = MemoryIdempotencyStore.run

    async def recorded(self: MemoryIdempotencyStore, key: str, *more: Any) -> Call:
        stored.append(key)
        return await run(self, key, *more)

    monkeypatch.setattr(MemoryIdempotencyStore, "run", recorded)
    first, again, other = [
        await raw_dispatch(gateway, key) for key in (b"\xe4-0", b"\xe4-0", b"\xf6-0")
    ]
    assert b" 200 OK" in first
    assert call_id_of(first) == call_id_of(again) != call_id_of(other)
    assert len(fake_livekit.requested(CreateSIPParticipantRequest)) == 2
    # Half a surrogate pair, which aiohttp makes of such a byte, cannot be sent to Redis.
    assert stored == ["n8n:\xe4-0", "n8n:\xe4-0", "n8n:\xf6-0"]


async def raw_dispatch(gateway: TestClient[Any, Any], key: bytes) -> bytes:
    """The response to a dispatch with these bytes as its Idempotency-Key."""
    body = b'{"destination": "61402012298", "account_code": "em-tech-01"}'
    reader, writer = await asyncio.open_connection(gateway.host, gateway.port)
    writer.write(
        b"POST /dispatch HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n"
        % len(body)
        + f"X-API-Key: {HEADERS['X-API-Key']}\r\n".encode()
        + b"Idempotency-Key: %s\r\n\r\n%s" % (key, body)
    )
    async with asyncio.timeout(10):
        response = await reader.read()
    writer.close()
    return response


def call_id_of(response: bytes) -> bytes:
    return response.partition(b'"call_id": "')[2].partition(b'"')[0]
