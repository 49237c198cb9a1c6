"""Looking up names with a name server that answers, does not answer, or stops answering."""

import asyncio

import pytest

from common import resolver
from common.resolver import LookupFailed, Resolver
from tests.fakes.name_server import NameServer

pytestmark = pytest.mark.field("E1")


async def addresses(names: Resolver, host: str) -> list[str]:
    return [result["host"] for result in await names.resolve(host, 80)]


async def test_a_name_has_its_addresses_and_the_port_of_the_request(
    name_server: NameServer,
) -> None:
    name_server.addresses["n8n.example.com"] = ["192.0.2.1 192.0.2.2"]
    async with Resolver() as names:
        results = await names.resolve("n8n.example.com", 5678)
    assert [(result["host"], result["port"]) for result in results] == [
        ("192.0.2.1", 5678),
        ("192.0.2.2", 5678),
    ]


async def test_a_name_that_does_not_exist_is_told_apart_from_silence(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "TIMEOUT", 0.1)
    name_server.addresses["hanging.example.com"] = []
    async with Resolver() as names:
        with pytest.raises(LookupFailed, match=r"missing\.example\.com is no name") as missing:
            await names.resolve("missing.example.com")
        with pytest.raises(LookupFailed, match="no name server answers") as hanging:
            await names.resolve("hanging.example.com")
    assert (missing.value.is_final, hanging.value.is_final) == (True, False)


async def test_names_that_hang_hold_up_no_other(name_server: NameServer) -> None:
    hanging = [f"hanging-{number}.example.com" for number in range(50)]
    name_server.addresses |= {host: [] for host in hanging} | {"a.example.com": ["192.0.2.1"]}
    async with Resolver() as names:
        waiting = [asyncio.create_task(addresses(names, host)) for host in hanging]
        await name_server.asked(hanging)
        assert await addresses(names, "a.example.com") == ["192.0.2.1"]
        assert not any(task.done() for task in waiting)
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)


async def test_a_host_is_looked_up_once_however_many_wait(name_server: NameServer) -> None:
    name_server.addresses["a.example.com"] = ["192.0.2.1"]
    async with Resolver() as names:
        found = await asyncio.gather(*(addresses(names, "a.example.com") for _ in range(100)))
        assert await addresses(names, "a.example.com") == ["192.0.2.1"]
    assert found == [["192.0.2.1"]] * 100
    assert len(name_server.queries) == 2  # for its A and its AAAA records


async def test_known_addresses_are_used_while_no_name_server_answers(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name_server.addresses["livekit.example.com"] = ["192.0.2.1", "192.0.2.2"]
    monkeypatch.setattr(resolver, "FRESH", 0.0)
    async with Resolver() as names:
        assert await addresses(names, "livekit.example.com") == ["192.0.2.1"]
        name_server.silent = True
        assert await addresses(names, "livekit.example.com") == ["192.0.2.1"]
        name_server.silent = False
        async with asyncio.timeout(10):
            while await addresses(names, "livekit.example.com") != ["192.0.2.2"]:
                await asyncio.sleep(0.05)


async def test_a_bounded_number_of_hosts_is_stored(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver, "MAX_HOSTS", 2)
    hosts = [f"{letter}.example.com" for letter in "abc"]
    name_server.addresses |= {host: ["192.0.2.1"] for host in hosts}
    async with Resolver() as names:
        for host in [*hosts, "c.example.com", "a.example.com"]:
            await names.resolve(host)
    assert name_server.queries[::2] == [*hosts, "a.example.com"]


async def test_addresses_that_were_dropped_at_once_are_used_all_the_same(
    name_server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With many hosts they may be, before whoever waits for them gets to it."""
    monkeypatch.setattr(resolver, "MAX_HOSTS", 0)
    name_server.addresses["a.example.com"] = ["192.0.2.1"]
    async with Resolver() as names:
        assert await addresses(names, "a.example.com") == ["192.0.2.1"]
