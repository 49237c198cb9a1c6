"""Callbacks must not reach a private network: by address, by name, by redirect or by rebinding."""

import pytest

from common import resolver
from gateway.callbacks.sender import Sender
from gateway.config.settings import CallbackSettings
from tests.api.test_dispatch import dispatch
from tests.callbacks.conftest import ALLOWED, FREQUENT, finished, first_error
from tests.conftest import GatewayStarter
from tests.fakes.name_server import NameServer
from tests.fakes.receiver import Receiver

HOST = "rebound.example.com"


def url_of(receiver: Receiver, host: str = HOST) -> str:
    return receiver.url.replace("127.0.0.1", host)


@pytest.mark.field("E3", "E5")
@pytest.mark.parametrize("addresses", ["127.0.0.1", "1.1.1.1 10.0.0.1", "168.63.129.16"])
async def test_a_name_with_a_private_address_is_refused_at_dispatch(
    name_server: NameServer, start_gateway: GatewayStarter, receiver: Receiver, addresses: str
) -> None:
    name_server.addresses[HOST] = [addresses]
    status, error = await dispatch(await start_gateway(), callback_url=url_of(receiver))
    assert status == 422
    (reason,) = error["details"]["callback_url"]
    assert f"{HOST} is in a private network" in reason
    assert "callbacks.allowed_hosts" in reason


@pytest.mark.field("E3")
async def test_a_name_that_does_not_exist_is_refused_at_dispatch(
    name_server: NameServer, start_gateway: GatewayStarter
) -> None:
    status, error = await dispatch(await start_gateway(), callback_url="http://n8n:5678/hook?a=b")
    assert status == 422
    assert error["details"] == {"callback_url": ["n8n is no name with an address"]}


@pytest.mark.field("E3")
@pytest.mark.parametrize("entry", ["n8n", "n8n:{port}", "http://n8n:{port}", "127.0.0.0/8"])
async def test_a_private_name_that_is_listed_gets_its_callbacks(
    name_server: NameServer, start_gateway: GatewayStarter, receiver: Receiver, entry: str
) -> None:
    name_server.addresses["n8n"] = ["127.0.0.1"]
    allowed = entry.format(port=receiver.url.rpartition(":")[2])
    gateway = await start_gateway(callbacks={"allowed_hosts": [allowed]})
    assert (await dispatch(gateway, callback_url=url_of(receiver, "n8n")))[0] == 200
    await receiver.received(1)


@pytest.mark.field("E1")
async def test_a_name_that_turns_private_after_the_dispatch_is_refused(
    name_server: NameServer,
    start_gateway: GatewayStarter,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: between the check and the request."""
    monkeypatch.setattr(resolver, "FRESH", 0.0)
    name_server.addresses[HOST] = ["1.1.1.1", "127.0.0.1"]
    gateway = await start_gateway(monitor=FREQUENT)
    status, dispatched = await dispatch(gateway, callback_url=url_of(receiver))
    assert status == 200
    failed = await first_error(gateway, dispatched["call_id"])
    assert "private network" in failed["last_error"]
    assert not receiver.raw


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to(
    name_server: NameServer,
    start_gateway: GatewayStarter,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: another lookup would return another address."""
    monkeypatch.setattr(resolver, "FRESH", 0.0)
    private = "gateway.security.callback_policy.is_private"
    monkeypatch.setattr(private, lambda host: host == "127.0.0.2")
    name_server.addresses[HOST] = ["127.0.0.1", "127.0.0.1", "127.0.0.2"]
    gateway = await start_gateway(monitor=FREQUENT)
    await dispatch(gateway, callback_url=url_of(receiver))
    await receiver.received(1)
    assert receiver.raw[0][0]["Host"].startswith(f"{HOST}:")
    assert name_server.addresses[HOST] == ["127.0.0.2"]


@pytest.mark.field("E5")
async def test_a_configured_url_makes_its_host_no_target_for_others(
    start_gateway: GatewayStarter, receiver: Receiver
) -> None:
    gateway = await start_gateway(callbacks={"urls": [f"{receiver.url}/all"], "report_timeout": 0})
    assert (await dispatch(gateway))[0] == 200
    await receiver.received(1)
    for other in (f"{receiver.url}/other", "http://127.0.0.1:22/all"):
        assert (await dispatch(gateway, callback_url=other))[0] == 422


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
