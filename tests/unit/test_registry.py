"""What every registry must do; the memory one does."""

import pytest

from gateway.calls import Call, CallStatus, Direction, Event, EventKind
from gateway.registry import Added, CallFilter, CallRegistry
from gateway.registry.memory import MemoryRegistry
from gateway.settings import RegistrySettings

START = 1_700_000_000_000


def call(number: int, **fields: object) -> Call:
    known: dict[str, object] = {
        "call_id": f"call-{number:04}",
        "direction": Direction.INBOUND,
        "agent_name": "agent",
        "start_timestamp": START + number,
        "jambonz": {"call_sid": f"sid-{number}"},
    }
    return Call(**known | fields)  # type: ignore[arg-type]


@pytest.fixture
def registry() -> CallRegistry:
    return MemoryRegistry(RegistrySettings(ended_ttl=60, ended_max=3), since=START)


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
