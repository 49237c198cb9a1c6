"""Dispatched calls that nobody answers, through a real livekit-sip: dead trunks, challenges."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.sip.servers import Telephony
from tests.sip.test_outbound import dispatch, latest_call


@contextmanager
def silent_carrier(telephony: Telephony) -> Iterator[None]:
    """A carrier that takes every message and answers none."""
    with socket.socket(type=socket.SOCK_DGRAM) as carrier:
        carrier.bind((telephony.carrier_address, telephony.carrier_port))
        yield


async def failed(gateway: aiohttp.ClientSession, **more: Any) -> tuple[Any, Any]:
    """The error that a dispatch is answered with, and its call."""
    status, error = await dispatch(gateway, wait="answer", **more)
    assert status == 502, error
    assert "twirp error unknown" not in error["message"]
    return error, await latest_call(gateway)


@pytest.mark.field("B18", "B20")
@pytest.mark.parametrize("is_silent", [True, False], ids=["silent", "closed port"])
async def test_a_dead_trunk_is_no_callee_who_is_out(
    telephony: Telephony, room_gateway: aiohttp.ClientSession, *, is_silent: bool
) -> None:
    with ExitStack() as stack:
        if is_silent:
            stack.enter_context(silent_carrier(telephony))
        error, call = await failed(room_gateway, ringing_timeout=3)
    assert call["call_status"] == "not_connected"
    assert call["disconnection_reason"] == "telephony_provider_unavailable"
    assert telephony.carrier_address not in str(error)


@pytest.mark.field("B18")
@pytest.mark.parametrize(
    ("scenario", "reason"),
    [
        ("trying_until_cancel", "telephony_provider_unavailable"),
        ("ring_until_cancel", "dial_no_answer"),
    ],
)
async def test_only_a_callee_who_was_rung_has_not_answered(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    tmp_path: Path,
    scenario: str,
    reason: str,
) -> None:
    async with telephony.callee(scenario, tmp_path) as callee:
        _, call = await failed(room_gateway, ringing_timeout=3)
        await callee.message("CANCEL ")
    assert call["disconnection_reason"] == reason


@pytest.mark.field("B19")
@pytest.mark.parametrize(
    ("rejection", "reason"),
    [
        ("302 Moved Temporarily", "sip_routing_error"),
        ("401 Unauthorized", "telephony_provider_permission_denied"),
        ("407 Proxy Authentication Required", "telephony_provider_permission_denied"),
        ("410 Gone", "invalid_destination"),
        ("500 Server Internal Error", "telephony_provider_unavailable"),
        ("607 Unwanted", "marked_as_spam"),
        ("608 Rejected", "marked_as_spam"),
    ],
)
async def test_the_reason_follows_from_the_carriers_status(
    telephony: Telephony,
    room_gateway: aiohttp.ClientSession,
    tmp_path: Path,
    rejection: str,
    reason: str,
) -> None:
    async with telephony.callee("reject", tmp_path, status=rejection) as callee:
        _, call = await failed(room_gateway)
        await callee.message("ACK ")
    assert call["disconnection_reason"] == reason


@pytest.mark.field("B20")
async def test_an_unknown_host_is_told_without_the_resolvers_address(
    telephony: Telephony, room_gateway: aiohttp.ClientSession
) -> None:
    _, call = await failed(room_gateway, destination="sip:desk@pbx.example.invalid")
    assert call["disconnection_reason"] == "telephony_provider_unavailable"
