"""What every registry must do."""

import asyncio
from collections import Counter

import pytest

from gateway.calls.call import (
    CallStatus,
    Direction,
    DisconnectionReason,
    Event,
    EventKind,
    SipOutcome,
    TimelineEntry,
    Transfer,
)
from gateway.calls.transitions import transition
from gateway.storage.registry import Added, CallFilter, CallRegistry
from gateway.storage.stores import StorageBackend
from tests.storage.conftest import START, Opener, call


@pytest.fixture
def registry(stores: StorageBackend) -> CallRegistry:
    return stores.registry


async def end(registry: CallRegistry, number: int, at: int = START) -> None:
    await registry.apply(f"call-{number:04}", Event(EventKind.AGENT_FAILED, at))
    await registry.apply(f"call-{number:04}", Event(EventKind.REPORT_MISSED, at))


async def ids(registry: CallRegistry, wanted: CallFilter, limit: int = 100) -> list[str]:
    page = await registry.page(wanted, limit=limit, after=None)
    return [found.call_id for found in page.calls]


async def test_one_call_for_one_call_sid(registry: CallRegistry) -> None:
    first = await registry.add(call(1))
    again = await registry.add(call(2, jambonz={"call_sid": "sid-1"}))
    assert (first.is_new, first.active) == (True, 1)
    assert again == Added(first.call, is_new=False, active=1)
    assert await registry.get("call-0002") is None
    assert await registry.count_active() == 1
    assert await registry.find_by_call_sid("sid-1") == first.call
    assert await registry.find_by_call_sid("sid-2") is None


async def test_applying_an_event_keeps_the_advanced_call(registry: CallRegistry) -> None:
    await registry.add(call(1))
    change = await registry.apply("call-0001", Event(EventKind.ANSWERED, START + 5))
    assert change
    assert change.answered
    assert not change.ended
    kept = await registry.get("call-0001")
    assert kept
    assert kept.call_status is CallStatus.ONGOING
    assert await registry.apply("call-unknown", Event(EventKind.ANSWERED, START)) is None


async def test_ended_calls_are_listed_only_when_asked_for(registry: CallRegistry) -> None:
    for number in (1, 2, 3):
        await registry.add(call(number))
    await end(registry, 2)
    assert await ids(registry, CallFilter()) == ["call-0003", "call-0001"]
    assert await ids(registry, CallFilter(include_ended=True)) == [
        "call-0003",
        "call-0002",
        "call-0001",
    ]
    assert await ids(registry, CallFilter(status=CallStatus.ERROR)) == ["call-0002"]
    assert [call_id for _, call_id in await registry.active()] == ["call-0001", "call-0003"]


@pytest.mark.parametrize(
    "wanted",
    [
        CallFilter(status=CallStatus.ONGOING),
        CallFilter(direction=Direction.OUTBOUND),
        CallFilter(from_number="+1"),
        CallFilter(to_number="+2"),
        CallFilter(agent_name="other"),
        CallFilter(account_code="em"),
        CallFilter(since=START + 2),
    ],
)
async def test_each_filter(registry: CallRegistry, wanted: CallFilter) -> None:
    await registry.add(call(1))
    await registry.add(
        call(
            2,
            direction=Direction.OUTBOUND,
            from_number="+1",
            to_number="+2",
            agent_name="other",
            account_code="em",
            call_status=CallStatus.ONGOING,
        )
    )
    assert await ids(registry, wanted) == ["call-0002"]


async def test_pages_cover_every_call_once_though_new_ones_come(registry: CallRegistry) -> None:
    for number in range(10):
        # Pairs share a moment: the order must be total for a cursor to work.
        await registry.add(call(number, start_timestamp=START + number // 2))
    seen: list[str] = []
    after = None
    while True:
        page = await registry.page(CallFilter(), limit=3, after=after)
        seen += [found.call_id for found in page.calls]
        await registry.add(call(100 + len(seen)))
        if page.next is None:
            break
        after = page.next
    assert seen == [f"call-{number:04}" for number in reversed(range(10))]


async def test_no_next_page_after_an_exact_last_one(registry: CallRegistry) -> None:
    for number in range(4):
        await registry.add(call(number))
    page = await registry.page(CallFilter(), limit=4, after=None)
    assert len(page.calls) == 4
    assert page.next is None


async def test_ended_calls_are_kept_for_a_bounded_time(registry: CallRegistry) -> None:
    await registry.add(call(1))
    await end(registry, 1, at=START + 1000)
    await registry.prune(START + 60_999)
    assert await registry.get("call-0001")
    await registry.prune(START + 61_000)
    assert await registry.get("call-0001") is None
    assert await registry.find_by_call_sid("sid-1") is None
    assert await ids(registry, CallFilter(include_ended=True)) == []


async def test_ended_calls_are_kept_in_a_bounded_number(registry: CallRegistry) -> None:
    for number in range(6):
        await registry.add(call(number))
        if number:
            await end(registry, number)
    await registry.prune(START)
    assert await ids(registry, CallFilter(include_ended=True)) == [
        "call-0005",
        "call-0004",
        "call-0003",
        "call-0000",
    ]


async def test_a_call_is_added_once(registry: CallRegistry) -> None:
    first = await registry.add(call(1))
    await registry.apply("call-0001", Event(EventKind.ANSWERED, START + 5))
    again = await registry.add(call(1))
    assert first.is_new
    assert not again.is_new
    assert again.call.call_status is CallStatus.ONGOING


async def test_everything_about_a_call_is_kept(registry: CallRegistry) -> None:
    whole = call(
        1,
        direction=Direction.OUTBOUND,
        from_number="+15550100",
        to_number="+61491570156",
        caller_name="Bob Ü",
        account_code="em-01",
        metadata={"order": {"id": 7, "tags": ["a"]}, "note": "ü \u0000"},
        callback_url="https://n8n.example.com/hook?signature=x",
        callback_events=("call_ended",),
        timeline=(TimelineEntry(START, EventKind.REGISTERED),),
    )
    await registry.add(whole)
    transfer = Transfer("+15550101", START + 3, refer_sid="sid-2")
    history = (
        Event(EventKind.DISPATCHED, START + 1, ids={"room_sid": "RM_1", "job_id": "AJ_1"}),
        Event(EventKind.ANSWERED, START + 2),
        Event(EventKind.AGENT_LEFT, START + 2, reason=DisconnectionReason.AGENT_ERROR),
        Event(EventKind.TRANSFER_STARTED, START + 3, transfer=transfer),
        Event(EventKind.TRANSFER_ENDED, START + 4, sip=SipOutcome(486, "Busy Here")),
        Event(EventKind.HUNG_UP, START + 5, reason=DisconnectionReason.AGENT_HANGUP),
        Event(EventKind.AGENT_ENDED, START + 6, report={"words": 3, "said": ["hello"]}),
    )
    expected = whole
    for event in history:
        expected = transition(expected, event)
        change = await registry.apply(whole.call_id, event)
        assert change
        assert change.after == expected
        assert await registry.get(whole.call_id) == expected
    assert await registry.find_by_call_sid("sid-1") == expected


async def test_an_event_with_an_id_happens_once(registry: CallRegistry) -> None:
    await registry.add(call(1))
    event = Event(EventKind.CALLER_JOINED, START + 1, id="EV_1")
    await registry.apply("call-0001", event)
    again = await registry.apply("call-0001", event)
    assert again
    assert again.before == again.after
    assert len(again.after.timeline) == 1
    await registry.apply("call-0001", Event(EventKind.CALLER_JOINED, START + 2, id="EV_2"))
    kept = await registry.get("call-0001")
    assert kept
    assert len(kept.timeline) == 2


async def test_overdue_calls_are_found_in_their_order(registry: CallRegistry) -> None:
    await registry.add(call(1, agent_came=False))  # no agent: due after 10 s
    await registry.add(call(2))  # nobody answers: after 60 s
    await registry.add(call(3, start_timestamp=START - 10))
    assert await due(registry, START + 10_001) == []
    assert await due(registry, START + 10_002) == ["call-0001"]
    assert await due(registry, START + 60_003) == ["call-0001", "call-0003", "call-0002"]
    await registry.apply("call-0001", Event(EventKind.AGENT_JOINED, START))
    assert await due(registry, START + 10_002) == []
    await registry.apply("call-0002", Event(EventKind.ANSWERED, START))
    await end(registry, 3)
    assert await due(registry, START + 60_003) == ["call-0001"]


async def due(registry: CallRegistry, now: int) -> list[str]:
    return [found.call_id for found in await registry.due(now)]


async def test_active_calls_are_counted_by_direction(registry: CallRegistry) -> None:
    await registry.add(call(1))
    added = await registry.add(call(2, direction=Direction.OUTBOUND))
    assert added.active == 2
    await end(registry, 1)
    assert await registry.count_active() == 1
    assert await registry.count_active(Direction.INBOUND) == 0
    assert await registry.count_active(Direction.OUTBOUND) == 1


async def test_a_call_that_is_gone_may_come_again(registry: CallRegistry) -> None:
    await registry.add(call(1))
    await end(registry, 1)
    await registry.prune(START + 10**6)
    assert (await registry.add(call(2, jambonz={"call_sid": "sid-1"}))).is_new
    assert await registry.apply("call-0001", Event(EventKind.ANSWERED, START)) is None


async def test_changes_at_once_are_all_kept(opener: Opener) -> None:
    """Two gateways, were there two: none of their changes overwrites another."""
    async with opener.opened() as one, opener.opened() as other:
        registries = (one.registry, other.registry if opener.redis else one.registry)
        await registries[0].add(call(1))
        events = [Event(EventKind.LEG_STATUS, START + n, detail=str(n)) for n in range(30)]
        changes = await asyncio.gather(
            *(registries[n % 2].apply("call-0001", event) for n, event in enumerate(events)),
            registries[0].apply("call-0001", Event(EventKind.HUNG_UP, START + 99)),
            registries[1].apply("call-0001", Event(EventKind.AGENT_FAILED, START + 99)),
        )
        assert sum(1 for change in changes if change and change.ended) == 1
        kept = await registries[1].get("call-0001")
        assert kept
        happened = Counter(entry.detail for entry in kept.timeline)
        assert {detail: happened[detail] for detail in map(str, range(30))} == dict.fromkeys(
            map(str, range(30)), 1
        )


async def test_one_call_for_a_call_sid_whoever_adds_it(opener: Opener) -> None:
    async with opener.opened() as one, opener.opened() as other:
        registries = (one.registry, other.registry if opener.redis else one.registry)
        added = await asyncio.gather(
            *(
                registries[number % 2].add(call(number, jambonz={"call_sid": "the same"}))
                for number in range(20)
            )
        )
        assert sum(1 for each in added if each.is_new) == 1
        assert len({each.call.call_id for each in added}) == 1
        assert await registries[0].count_active() == 1
