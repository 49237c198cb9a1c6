"""What every call registry must do."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from gateway.calls.call import CallStatus, Direction, Event, EventKind, TimelineEntry
from gateway.calls.conversation import ConversationProblem
from gateway.calls.outcomes import SipOutcome, Transfer, TransferKind, TransferRequest
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import AgentSilence
from gateway.calls.transitions import transition
from gateway.errors import LimitReached
from gateway.storage.backend import StorageBackend
from gateway.storage.registry import ActiveLimits, Added, CallFilter, CallRegistry
from tests.storage.conftest import START, StorageOpener, call


@pytest.fixture
def registry(storage: StorageBackend) -> CallRegistry:
    return storage.registry


async def end(registry: CallRegistry, number: int, at: int = START) -> None:
    await registry.apply(f"call-{number:04}", Event(EventKind.AGENT_FAILED, at))
    await registry.apply(f"call-{number:04}", Event(EventKind.REPORT_MISSED, at))


async def call_ids(registry: CallRegistry, call_filter: CallFilter) -> list[str]:
    page = await registry.page(call_filter, limit=100, after=None)
    return [listed.call_id for listed in page.calls]


async def due(registry: CallRegistry, now: int) -> list[str]:
    return [overdue.call_id for overdue in await registry.due(now)]


async def test_a_call_sid_has_one_call(registry: CallRegistry) -> None:
    first = await registry.add(call(1))
    again = await registry.add(call(2, jambonz={"call_sid": "sid-1"}))
    assert (first.is_new, first.active) == (True, 1)
    assert again == Added(first.call, is_new=False, active=1)
    assert await registry.get("call-0002") is None
    assert await registry.count_active() == 1
    assert await registry.find_by_call_sid("sid-1") == first.call
    assert await registry.find_by_call_sid("sid-2") is None


@pytest.mark.field("B2")
async def test_no_call_is_added_beyond_the_limits(opener: StorageOpener) -> None:
    """However many requests, at whichever gateway, come at the same time."""
    limits = ActiveLimits(total=8, direction=5)
    outbound: dict[str, object] = {"direction": Direction.OUTBOUND, "jambonz": {}}
    async with opener.opened() as one, opener.opened() as other:
        gateways = (one, other if opener.redis_url else one)

        async def add(number: int, **fields: object) -> str:
            registry = gateways[number % 2].registry
            return (await registry.add(call(number, **fields), limits)).call.call_id

        for number in range(2):
            await add(number)
        attempts = (add(number, **outbound) for number in range(10, 40))
        added = await asyncio.gather(*attempts, return_exceptions=True)
        errors = [error for error in added if isinstance(error, LimitReached)]
        assert len(errors) == 25
        assert str(errors[0]) == "5 outbound calls are active, which is the limit"
        await add(50)
        with pytest.raises(LimitReached, match="8 calls are active"):
            await add(51)
        assert [await one.registry.count_active(it) for it in (None, Direction.OUTBOUND)] == [8, 5]
        # A call that is stored already, and one that takes the place of an ended one, are no more.
        assert await add(50) == "call-0050"
        await end(one.registry, 50)
        await add(51)
        listed = await one.registry.page(CallFilter(include_ended=True), limit=100, after=None)
        assert len(listed.calls) == 9


async def test_an_event_changes_the_stored_call(registry: CallRegistry) -> None:
    await registry.add(call(1))
    change = await registry.apply("call-0001", Event(EventKind.ANSWERED, START + 5))
    assert change
    assert change.answered
    assert not change.ended
    stored = await registry.get("call-0001")
    assert stored
    assert stored.call_status is CallStatus.ONGOING
    assert await registry.apply("call-unknown", Event(EventKind.ANSWERED, START)) is None


async def test_ended_calls_are_listed_on_request_only(registry: CallRegistry) -> None:
    for number in (1, 2, 3):
        await registry.add(call(number))
    await end(registry, 2)
    assert await call_ids(registry, CallFilter()) == ["call-0003", "call-0001"]
    assert await call_ids(registry, CallFilter(include_ended=True)) == [
        "call-0003",
        "call-0002",
        "call-0001",
    ]
    assert await call_ids(registry, CallFilter(status=CallStatus.ERROR)) == ["call-0002"]
    assert [call_id for _, call_id in await registry.active()] == ["call-0001", "call-0003"]


async def test_calls_are_listed_by_their_ids_also_after_their_end(registry: CallRegistry) -> None:
    for number in range(1, 6):
        await registry.add(call(number, agent_name=f"agent-{number % 2}"))
    await end(registry, 2)
    named = CallFilter(call_ids=frozenset({"call-0001", "call-0002", "call-0004", "call-x"}))
    assert await call_ids(registry, named) == ["call-0004", "call-0002", "call-0001"]
    first = await registry.page(named, limit=2, after=None)
    assert [it.call_id for it in first.calls] == ["call-0004", "call-0002"]
    rest = await registry.page(named, limit=2, after=first.next)
    assert [it.call_id for it in rest.calls] == ["call-0001"]
    assert rest.next is None
    assert await call_ids(registry, replace(named, agent_name="agent-1")) == ["call-0001"]
    assert await call_ids(registry, replace(named, status=CallStatus.ERROR)) == ["call-0002"]
    assert await call_ids(registry, CallFilter(call_ids=frozenset())) == []


@pytest.mark.parametrize(
    "call_filter",
    [
        CallFilter(status=CallStatus.ONGOING),
        CallFilter(direction=Direction.OUTBOUND),
        CallFilter(from_number="+1"),
        CallFilter(to_number="+2"),
        CallFilter(agent_name="other"),
        CallFilter(account_code="em"),
        CallFilter(since=START + 2),
        CallFilter(verdict=ConversationProblem.SILENT_AGENT),
    ],
)
async def test_a_filter_selects_calls(registry: CallRegistry, call_filter: CallFilter) -> None:
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
            answer_timestamp=START,
            agent_silences=(AgentSilence(START, 6_000),),
        )
    )
    assert await call_ids(registry, call_filter) == ["call-0002"]


async def test_pages_have_every_call_once_though_calls_are_added_meanwhile(
    registry: CallRegistry,
) -> None:
    for number in range(10):
        # Two calls share each start: a cursor needs a total order.
        await registry.add(call(number, start_timestamp=START + number // 2))
    listed: list[str] = []
    after = None
    while True:
        page = await registry.page(CallFilter(), limit=3, after=after)
        listed += [item.call_id for item in page.calls]
        await registry.add(call(100 + len(listed)))
        if page.next is None:
            break
        after = page.next
    assert listed == [f"call-{number:04}" for number in reversed(range(10))]


async def test_a_full_last_page_has_no_next_page(registry: CallRegistry) -> None:
    for number in range(4):
        await registry.add(call(number))
    page = await registry.page(CallFilter(), limit=4, after=None)
    assert len(page.calls) == 4
    assert page.next is None


async def test_ended_calls_expire(registry: CallRegistry) -> None:
    await registry.add(call(1))
    await end(registry, 1, at=START + 1000)
    await registry.prune(START + 60_999)
    assert await registry.get("call-0001")
    await registry.prune(START + 61_000)
    assert await registry.get("call-0001") is None
    assert await registry.find_by_call_sid("sid-1") is None
    assert await call_ids(registry, CallFilter(include_ended=True)) == []


async def test_the_number_of_ended_calls_is_bounded(registry: CallRegistry) -> None:
    for number in range(6):
        await registry.add(call(number))
        if number:
            await end(registry, number)
    await registry.prune(START)
    assert await call_ids(registry, CallFilter(include_ended=True)) == [
        "call-0005",
        "call-0004",
        "call-0003",
        "call-0000",
    ]


async def test_adding_a_call_again_returns_the_stored_one(registry: CallRegistry) -> None:
    first = await registry.add(call(1))
    await registry.apply("call-0001", Event(EventKind.ANSWERED, START + 5))
    again = await registry.add(call(1))
    assert first.is_new
    assert not again.is_new
    assert again.call.call_status is CallStatus.ONGOING


async def test_all_fields_of_a_call_are_stored(registry: CallRegistry) -> None:
    original = call(
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
    await registry.add(original)
    kind = TransferKind.ANNOUNCED
    transfer = Transfer("+15550101", START + 3, refer_sid="sid-2", kind=kind, summary="Bob waits.")
    events = (
        Event(EventKind.ROOM_CREATED, START + 1, ids={"room_sid": "RM_1", "job_id": "AJ_1"}),
        Event(EventKind.ANSWERED, START + 2),
        Event(EventKind.AGENT_SILENT, START + 2, silence=AgentSilence(START + 1, 7_000)),
        Event(EventKind.AGENT_LEFT, START + 2, reason=DisconnectionReason.AGENT_ERROR),
        Event(EventKind.TRANSFER_STARTED, START + 3, transfer=transfer),
        Event(EventKind.TRANSFER_DECLINED, START + 4, reason=DisconnectionReason.USER_DECLINED),
        Event(EventKind.TRANSFER_ENDED, START + 4, sip=SipOutcome(486, "Busy Here")),
        Event(EventKind.HUNG_UP, START + 5, reason=DisconnectionReason.AGENT_HANGUP),
        Event(EventKind.AGENT_ENDED, START + 6, report={"words": 3, "said": ["hello"]}),
    )
    expected = original
    for event in events:
        expected = transition(expected, event)
        change = await registry.apply(original.call_id, event)
        assert change
        assert change.after == expected
        assert await registry.get(original.call_id) == expected
    assert await registry.find_by_call_sid("sid-1") == expected


async def test_an_event_with_an_id_is_applied_once(registry: CallRegistry) -> None:
    await registry.add(call(1))
    event = Event(EventKind.CALLER_JOINED, START + 1, id="EV_1")
    await registry.apply("call-0001", event)
    again = await registry.apply("call-0001", event)
    assert again
    assert again.before == again.after
    assert len(again.after.timeline) == 1
    await registry.apply("call-0001", Event(EventKind.CALLER_JOINED, START + 2, id="EV_2"))
    stored = await registry.get("call-0001")
    assert stored
    assert len(stored.timeline) == 2


async def test_overdue_calls_are_returned_in_the_order_of_their_deadlines(
    registry: CallRegistry,
) -> None:
    await registry.add(call(1, agent_came=False))  # no agent: due after 10 s
    await registry.add(call(2))  # not answered: due after 60 s
    await registry.add(call(3, start_timestamp=START - 10))
    assert await due(registry, START + 10_001) == []
    assert await due(registry, START + 10_002) == ["call-0001"]
    assert await due(registry, START + 60_003) == ["call-0001", "call-0003", "call-0002"]
    await registry.apply("call-0001", Event(EventKind.AGENT_JOINED, START))
    assert await due(registry, START + 10_002) == []
    await registry.apply("call-0002", Event(EventKind.ANSWERED, START))
    await end(registry, 3)
    assert await due(registry, START + 60_003) == ["call-0001"]


async def test_active_calls_are_counted_by_direction(registry: CallRegistry) -> None:
    await registry.add(call(1))
    added = await registry.add(call(2, direction=Direction.OUTBOUND))
    assert added.active == 2
    await end(registry, 1)
    assert await registry.count_active() == 1
    assert await registry.count_active(Direction.INBOUND) == 0
    assert await registry.count_active(Direction.OUTBOUND) == 1


async def test_a_call_sid_can_be_used_again_once_its_call_has_expired(
    registry: CallRegistry,
) -> None:
    await registry.add(call(1))
    await end(registry, 1)
    await registry.prune(START + 10**6)
    assert (await registry.add(call(2, jambonz={"call_sid": "sid-1"}))).is_new
    assert await registry.apply("call-0001", Event(EventKind.ANSWERED, START)) is None


@pytest.mark.field("C2")
async def test_a_later_call_takes_over_a_call_sid(registry: CallRegistry) -> None:
    await registry.add(call(1))
    await end(registry, 1)
    second = call(2, jambonz={"call_sid": "sid-1"})
    assert (await registry.add(second, replaces="call-0001")).is_new
    assert await registry.find_by_call_sid("sid-1") == second
    # Only the call that is named is replaced, so a repeated hook gets the second one.
    third = call(3, jambonz={"call_sid": "sid-1"})
    again = await registry.add(third, replaces="call-0001")
    assert (again.is_new, again.call) == (False, second)
    await registry.prune(START + 10**6)
    assert await registry.get("call-0001") is None
    assert await registry.find_by_call_sid("sid-1") == second


async def test_concurrent_changes_are_all_stored(opener: StorageOpener) -> None:
    """By two gateways, where the storage is shared."""
    async with opener.opened() as one, opener.opened() as other:
        registries = (one.registry, other.registry if opener.redis_url else one.registry)
        await registries[0].add(call(1))
        events = [Event(EventKind.LEG_STATUS, START + n, detail=str(n)) for n in range(30)]
        changes = await asyncio.gather(
            *(registries[n % 2].apply("call-0001", event) for n, event in enumerate(events)),
            registries[0].apply("call-0001", Event(EventKind.HUNG_UP, START + 99)),
            registries[1].apply("call-0001", Event(EventKind.AGENT_FAILED, START + 99)),
        )
        assert sum(1 for change in changes if change and change.ended) == 1
        stored = await registries[1].get("call-0001")
        assert stored
        details = Counter(entry.detail for entry in stored.timeline)
        assert {detail: details[detail] for detail in map(str, range(30))} == dict.fromkeys(
            map(str, range(30)), 1
        )


@pytest.mark.field("C12")
async def test_of_concurrent_requests_for_a_transfer_one_holds(opener: StorageOpener) -> None:
    async with opener.opened() as one, opener.opened() as other:
        registries = (one.registry, other.registry if opener.redis_url else one.registry)
        await registries[0].add(call(1))
        requests = [TransferRequest(str(number), START + 40_000) for number in range(10)]
        changes = await asyncio.gather(
            *(
                registries[number % 2].apply(
                    "call-0001",
                    Event(EventKind.TRANSFER_REQUESTED, START + number, transfer_request=request),
                )
                for number, request in enumerate(requests)
            )
        )
        claims = {change.after.transfer_request for change in changes if change}
        assert len(claims) == 1
        assert claims < set(requests)


async def test_concurrent_additions_of_a_call_sid_create_one_call(opener: StorageOpener) -> None:
    async with opener.opened() as one, opener.opened() as other:
        registries = (one.registry, other.registry if opener.redis_url else one.registry)
        added = await asyncio.gather(
            *(
                registries[number % 2].add(call(number, jambonz={"call_sid": "the same"}))
                for number in range(20)
            )
        )
        assert sum(1 for result in added if result.is_new) == 1
        assert len({result.call.call_id for result in added}) == 1
        assert await registries[0].count_active() == 1
