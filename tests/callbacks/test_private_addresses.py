"""Callbacks must not reach a private network: by address, by name, by redirect or by rebinding."""

from typing import Any

import pytest

from gateway.callbacks.sender import Sender
from gateway.config.settings import CallbackSettings
from tests.api.test_dispatch import dispatch
from tests.callbacks.conftest import ALLOWED, FREQUENT, finished, first_error
from tests.conftest import GatewayStarter
from tests.fakes.receiver import Receiver


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make each lookup of a name return the next address; returns those that are left."""
    remaining = list(addresses)

    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[Any]:
        result = {"hostname": host, "host": remaining.pop(0), "port": port}
        return [{**result, "family": 2, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.ThreadedResolver.resolve", resolve)
    return remaining


async def test_a_name_with_a_private_address_is_refused(
    start_gateway: GatewayStarter, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    resolve_to(monkeypatch, *["127.0.0.1"] * 1000)
    gateway = await start_gateway(monitor=FREQUENT)
    url = receiver.url.replace("127.0.0.1", "rebound.example.com")
    _, dispatched = await dispatch(gateway, callback_url=url)
    failed = await first_error(gateway, dispatched["call_id"])
    assert "private network" in failed["last_error"]
    assert not receiver.raw


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    start_gateway: GatewayStarter, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    """DNS rebinding: a second lookup would return another address."""
    remaining = resolve_to(monkeypatch, "127.0.0.1", "127.0.0.2")
    monkeypatch.setattr("gateway.callbacks.sender.is_private", lambda host: host == "127.0.0.2")
    gateway = await start_gateway(monitor=FREQUENT)
    url = receiver.url.replace("127.0.0.1", "rebound.example.com")
    await dispatch(gateway, callback_url=url)
    await receiver.received(1)
    assert receiver.raw[0][0]["Host"].startswith("rebound.example.com:")
    assert remaining == ["127.0.0.2"]


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(
    start_gateway: GatewayStarter, receiver: Receiver, status: int
) -> None:
    gateway = await start_gateway(callbacks={**ALLOWED, "give_up_after": 1}, monitor=FREQUENT)
    async with Receiver().serving() as redirect_target:
        receiver.answer = lambda _: status
        receiver.headers["Location"] = redirect_target.url
        _, dispatched = await dispatch(gateway, callback_url=receiver.url)
        (failed,) = await finished(gateway, dispatched["call_id"], 1)
        assert (failed["status"], failed["last_status"]) == ("failed", status)
        assert not redirect_target.raw


async def test_a_private_address_is_refused_by_the_sender_too(receiver: Receiver) -> None:
    """aiohttp does not resolve an address, so GuardedResolver never checks it."""
    async with Sender.open(CallbackSettings()) as sender:
        answer = await sender.send(receiver.url, "{}", "evt_1")
    assert (answer.status, "private network" in answer.error) == (None, True)
    assert not receiver.raw


async def test_hosts_that_are_not_allowed_are_rejected(start_gateway: GatewayStarter) -> None:
    gateway = await start_gateway(callbacks={"allowed_hosts": ["*.example.com"]})
    status, error = await dispatch(gateway, callback_url="https://example.org/")
    assert status == 422
    assert "callbacks.allowed_hosts" in error["details"]["callback_url"][0]
