"""Registry and history as one list: no call twice, none missing, wherever a call is."""

import json
import random
from typing import Any

import pytest

from gateway.calls.call import CallStatus, Direction
from gateway.errors import HistoryUnavailable
from gateway.history import directory as directory_module
from gateway.history.today import midnight
from gateway.storage.registry import CallFilter, Position
from tests.history.conftest import Books, Gateway, ended_call
from tests.storage.conftest import START, call

ALL = CallFilter(include_ended=True)


async def listed(gateway: Gateway, call_filter: CallFilter, limit: int) -> list[str]:
    """The ids on all pages."""
    found: list[str] = []
    after: Position | None = None
    while True:
        page = await gateway.directory.page(call_filter, limit=limit, after=after)
        assert page.is_complete
        assert len(page.calls) <= limit
        found += [call["call_id"] for call in page.calls]
        if (after := page.next) is None:
            return found


async def test_pages_of_both(gateway: Gateway, books: Books) -> None:
    chance = random.Random(15)  # noqa: S311 - not used for security
    expected = []
    for number in range(40):
        start = START + number // 3
        place = chance.choice(["registry", "history", "both", "active"])
        if place == "active":
            await gateway.storage.registry.add(call(number, start_timestamp=start))
        else:
            if place != "history":
                await gateway.end_call(number, start_timestamp=start)
            if place != "registry":
                kept = ended_call(number, call_id=f"call-{number:04}", start_timestamp=start)
                await books.save(kept)
        expected.append((start, f"call-{number:04}"))
    ids = [call_id for _, call_id in sorted(expected, reverse=True)]
    for limit in (1, 3, 7, 100):
        assert await listed(gateway, ALL, limit) == ids, limit


async def test_a_list_of_active_calls_does_not_ask_the_history(
    gateway: Gateway, books: Books
) -> None:
    await books.save(ended_call(1))
    await gateway.storage.registry.add(call(2))
    gateway.database.is_ready = False
    for call_filter in (CallFilter(), CallFilter(status=CallStatus.REGISTERED)):
        assert await listed(gateway, call_filter, 5) == ["call-0002"]


async def test_without_the_history_the_list_says_that_it_lacks_calls(
    gateway: Gateway, books: Books
) -> None:
    await books.save(ended_call(1))
    await gateway.end_call(2)
    gateway.database.is_ready = False
    page = await gateway.directory.page(ALL, limit=5)
    assert [it["call_id"] for it in page.calls] == ["call-0002"]
    assert not page.is_complete
    assert not (await gateway.directory.today()).is_complete
    assert await gateway.directory.get("call-0002")
    with pytest.raises(HistoryUnavailable):
        await gateway.directory.get("call-000001")


async def test_a_page_is_of_bounded_size(gateway: Gateway, books: Books) -> None:
    name = "\N{SNOWMAN}" * 300
    await books.save(*(ended_call(number, agent_name=name) for number in range(150)))
    keys = dict.fromkeys(await listed(gateway, ALL, 200), "k" * 200)
    page = await gateway.directory.page(ALL, limit=200, keys=keys)
    assert {it["idempotency_key"] for it in page.calls} == {"k" * 200}
    assert len(json.dumps(page.calls)) < 100_000
    assert page.next
    assert len(await listed(gateway, ALL, 200)) == 150


async def test_a_call_has_the_same_json_from_either(gateway: Gateway) -> None:
    call_id = await gateway.end_call(
        1, from_number="+15550100", metadata={"ticket": "INC-1"}, caller_name="Anna Example"
    )
    recent: Any = await gateway.directory.get(call_id)
    (view,) = (await gateway.directory.page(ALL, limit=5)).calls
    await gateway.save()
    await gateway.storage.delete([call_id])
    assert await gateway.storage.registry.get(call_id) is None
    assert await gateway.directory.get(call_id) == recent
    assert (await gateway.directory.page(ALL, limit=5)).calls == [view]


async def test_todays_counts_are_of_both(
    gateway: Gateway, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "TODAY_INTERVAL", 0)
    since = midnight(START)
    await books.save(
        ended_call(1),
        ended_call(2, start_timestamp=since - 1),
        ended_call(3, report={"first_audio_ms": 800, "longest_silence_ms": 9_000}),
    )
    await gateway.end_call(4)
    await gateway.storage.registry.add(call(5))
    await gateway.storage.registry.add(call(6, start_timestamp=since - 1))
    before = await gateway.directory.today()
    assert (before.calls, before.active, before.ended, before.answered) == (4, 2, 3, 3)
    assert (before.silent, before.first_audio_p50_ms) == (1, 800)
    await gateway.save()  # the same, once all are in the history
    assert await gateway.directory.today() == before
    await gateway.storage.delete(["call-0004"])
    assert await gateway.directory.today() == before


async def test_an_export_has_all_of_both(
    gateway: Gateway, books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "EXPORT_BATCH", 3)
    await books.save(*(ended_call(number) for number in range(8)))
    for number in range(4):
        await gateway.end_call(number)
    await gateway.storage.registry.add(call(9))
    exported = [it async for it in gateway.directory.export(ALL)]
    assert len({it["call_id"] for it in exported}) == len(exported) == 13
    assert all("timeline" in it and "deliveries" in it for it in exported)
    starts = [it["start_timestamp"] for it in exported]
    assert starts == sorted(starts, reverse=True)
    gateway.database.is_ready = False
    with pytest.raises(HistoryUnavailable):
        await anext(gateway.directory.export(ALL))


async def test_a_persons_calls_are_deleted_wherever_they_are(
    gateway: Gateway, books: Books
) -> None:
    person = "+61491570156"
    await books.save(ended_call(1, from_number=person), ended_call(2))
    outbound = {"direction": Direction.OUTBOUND, "to_number": "61491570156"}
    await gateway.end_call(3, **outbound)
    await gateway.end_call(4, from_number=person)
    await gateway.save()
    await gateway.end_call(5, from_number=person)
    await gateway.storage.registry.add(call(6, from_number=person))
    assert await gateway.directory.delete_caller("61491570156") == (4, 1)
    await gateway.save()
    assert await listed(gateway, ALL, 9) == ["call-000002", "call-0006"]
    assert await gateway.directory.delete_caller(person) == (0, 1)


async def test_nothing_is_deleted_without_the_history(gateway: Gateway) -> None:
    call_id = await gateway.end_call(1, from_number="+61491570156")
    gateway.database.is_ready = False
    with pytest.raises(HistoryUnavailable):
        await gateway.directory.delete_caller("+61491570156")
    assert await gateway.storage.registry.get(call_id)
