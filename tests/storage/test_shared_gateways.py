"""Several gateways that share a Redis: one leads, and all publish to one live feed."""

import asyncio
from dataclasses import replace

import pytest

from gateway.config.settings import MonitorSettings
from gateway.storage.redis import leader
from tests.storage.conftest import CONFIG, StorageOpener, complete_call
from tests.storage.test_feed import content, last_entry_id, take


async def test_one_gateway_leads_until_it_releases_the_lock_or_dies(
    shared: StorageOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leader, "GRACE_MS", 300)
    config = replace(CONFIG, monitor=MonitorSettings(interval=0.05))
    async with shared.opened(config) as one, shared.opened(config) as other:
        assert await one.leader.acquire()
        assert not await other.leader.acquire()
        assert await one.leader.acquire()
        await one.leader.release()
        assert await other.leader.acquire()
        await one.leader.release()  # the other one's lock
        assert not await one.leader.acquire()
        async with asyncio.timeout(10):  # the other one does not renew it: it is dead
            while not await one.leader.acquire():
                await asyncio.sleep(0.02)


async def test_the_feed_has_the_changes_of_all_gateways(shared: StorageOpener) -> None:
    async with shared.opened() as one, shared.opened() as other:
        last_id = await last_entry_id(one.registry, other.feed)
        await complete_call(one.registry, 1)
        entries = await take(await other.feed.listen(last_id), 4)
        assert [content(entry)[0] for entry in entries] == ["call-0001"] * 4
