"""What the history has of calls: the same in SQLite and PostgreSQL, whatever a call contains."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.calls.call import CallStatus, Direction
from gateway.calls.conversation import ConversationProblem
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.views import details, listed
from gateway.history import history as history_module
from gateway.history.today import Counts
from gateway.storage.registry import CallFilter, Position
from tests.history.conftest import START, Books, ended_call, ids
from tests.storage.test_serialization import FULL_CALL

ALL = CallFilter(include_ended=True)
HOSTILE = "<script>alert(1)</script>\0\u202e'; DROP TABLE calls; -- %_*?[é"


async def pages(books: Books, call_filter: CallFilter, limit: int) -> list[int]:
    """The calls of all pages."""
    found: list[int] = []
    after: Position | None = None
    while page := await books.history.page(call_filter, limit=limit, after=after):
        assert len(page) <= limit
        found += ids(page)
        after = page[-1].position
    return found


async def test_a_call_comes_back_as_it_was(books: Books) -> None:
    deliveries = [{"delivery_id": "dlv_1", "status": "delivered"}]
    await books.save(FULL_CALL, deliveries=deliveries)
    assert await books.history.get("call-1") == {**details(FULL_CALL), "deliveries": deliveries}
    (found,) = await books.history.page(ALL, limit=10, after=None)
    assert found.view == listed(FULL_CALL)
    assert await books.history.get("call-2") is None


async def test_where_callbacks_went_is_not_kept(books: Books) -> None:
    secret = "https://n8n.example.com/webhook/hush"
    await books.save(ended_call(1, callback_url=secret))
    _, row = (await books.history.details(ALL, limit=1, after=None))[0]
    assert "hush" not in row.record


async def test_hostile_texts_are_kept_and_found(books: Books) -> None:
    call = ended_call(
        1,
        from_number=HOSTILE,
        agent_name=HOSTILE,
        metadata={"text": HOSTILE},
        report={"transcript": [{"role": "user", "text": "<script>\0" + "x" * 1_000_000}]},
    )
    await books.save(call, ended_call(2))
    kept: Any = await books.history.get(call.call_id)
    assert kept["report"] == call.report
    assert ids(await found(books, "DROP TABLE")) == [1]
    for part in ("%_*?[É", "*?[", "%_*"):
        assert ids(await found(books, part)) == [1], part
    for odd in ("a\0b", "\ud800\ud801\ud802"):
        assert await found(books, odd) == []
        assert await books.history.get(odd) is None
        assert await books.history.page(ALL, limit=1, after=(0, odd)) == []
        assert await books.history.page(CallFilter(agent_name=odd), limit=1, after=None) == []
    assert await found(books, "%%%") == await found(books, "???") == []


async def found(books: Books, part: str) -> Any:
    return await books.history.page(CallFilter(search=part), limit=10, after=None)


async def test_older_versions_do_not_replace_newer_ones(books: Books) -> None:
    newer = ended_call(1, report={"transcript": []})
    await books.save(newer, revision=5, deliveries=[{"status": "delivered"}])
    await books.save(ended_call(1), revision=4)
    await books.history.save_deliveries(newer.call_id, "[]", 3)
    kept: Any = await books.history.get(newer.call_id)
    assert kept["report"] == {"transcript": []}
    assert kept["deliveries"] == [{"status": "delivered"}]
    await books.history.save_deliveries(newer.call_id, '[{"status": "failed"}]', 6)
    kept = await books.history.get(newer.call_id)
    assert kept["deliveries"] == [{"status": "failed"}]
    await books.save(newer, revision=6)
    assert await pages(books, ALL, 10) == [1]


async def test_pages_have_every_call_once(books: Books) -> None:
    # Several begin at the same time: then the id decides, by code points.
    calls = [ended_call(number, start_timestamp=START + number // 4) for number in range(50)]
    await books.save(*calls)
    assert await pages(books, ALL, 7) == list(range(49, -1, -1))


async def test_ids_are_sorted_by_code_points(books: Books) -> None:
    names = ["a", "B", "_", "b", "A", "é", "z", "-", "0"]
    await books.save(*(ended_call(1, call_id=name) for name in names))
    page = await books.history.page(ALL, limit=20, after=None)
    assert [call.position[1] for call in page] == sorted(names, reverse=True)


SILENT = {"first_audio_ms": 1_200, "longest_silence_ms": 8_000}
FILTERS = [
    (ALL, range(6)),
    (CallFilter(status=CallStatus.ERROR), [1]),
    (CallFilter(direction=Direction.OUTBOUND, include_ended=True), [2]),
    (CallFilter(from_number="15550000003", include_ended=True), [3]),
    (CallFilter(from_number="+15550000003", include_ended=True), [3]),
    (CallFilter(from_number="+1 555 000 0003", include_ended=True), [3]),
    (CallFilter(to_number="tel:+15550199", include_ended=True), [0, 1, 3, 4, 5]),
    (CallFilter(agent_name="other", include_ended=True), [4]),
    (CallFilter(account_code="em", include_ended=True), [4]),
    (CallFilter(since=START + 2_000, include_ended=True), [2, 3, 4, 5]),
    (CallFilter(until=START + 2_000, include_ended=True), [0, 1]),
    (CallFilter(since=START + 1_000, until=START + 2_000, include_ended=True), [1]),
    (CallFilter(disconnection_reason=DisconnectionReason.DIAL_BUSY), [2, 5]),
    (CallFilter(disconnection_reason=DisconnectionReason.DIAL_BUSY, agent_name="agent"), [2, 5]),
    (CallFilter(call_ids=frozenset({"call-000001", "call-000004", "call-x"})), [1, 4]),
    (CallFilter(call_ids=frozenset({"call-000001", "call-000004"}), agent_name="other"), [4]),
    (CallFilter(call_ids=frozenset()), []),
    (CallFilter(verdict=ConversationProblem.SILENT_AGENT, include_ended=True), [3, 4]),
    (CallFilter(verdict=ConversationProblem.SLOW_TURNS, include_ended=True), []),
    (CallFilter(search="0000003", include_ended=True), [3]),
    (CallFilter(search="+1 555 000 0003", include_ended=True), [3]),
    (CallFilter(search="155501", include_ended=True), [0, 1, 3, 4, 5]),
    (CallFilter(search="CALL-00000", include_ended=True), range(6)),
    (CallFilter(search="desk@", include_ended=True), [2]),
    (CallFilter(search="199 call", include_ended=True), []),
    (CallFilter(search="155501", direction=Direction.OUTBOUND, include_ended=True), []),
]


@pytest.fixture
async def six(books: Books) -> Books:
    busy = DisconnectionReason.DIAL_BUSY
    await books.save(
        ended_call(0),
        ended_call(1, call_status=CallStatus.ERROR),
        ended_call(
            2,
            direction=Direction.OUTBOUND,
            to_number="sip:Desk@pbx.example.com",
            disconnection_reason=busy,
        ),
        ended_call(3, report=SILENT),
        ended_call(4, report=SILENT, agent_name="other", account_code="em"),
        ended_call(5, disconnection_reason=busy),
    )
    return books


@pytest.mark.parametrize("window", [1, 10_000], ids=["by index", "newest first"])
async def test_filters(six: Books, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "SEARCH_WINDOW", window)
    for call_filter, expected in FILTERS:
        for limit in (2, 10):
            found = await pages(six, call_filter, limit)
            assert found == list(expected)[::-1], (call_filter, limit)


async def test_the_registry_filters_alike(six: Books) -> None:
    """What a call matches does not depend on where it is found."""
    calls = {number: await six.history.get(f"call-{number:06}") for number in range(6)}
    rows = await six.history.details(ALL, limit=10, after=None)
    assert len(rows) == len(calls) == 6
    busy = ended_call(5, disconnection_reason="dial_busy")
    originals = [ended_call(0), ended_call(3, report=SILENT), busy]
    for call_filter, expected in FILTERS:
        if call_filter.since is None:
            for original in originals:
                number = int(original.call_id[-1])
                assert call_filter.matches(original) == (number in expected), call_filter


async def test_counts(books: Books) -> None:
    heard = {"first_audio_ms": 900, "transcript": [{"role": "agent", "text": "Hello"}]}
    await books.save(
        ended_call(0),
        ended_call(1, report=heard),
        ended_call(2, report=SILENT),
        ended_call(3, answer_timestamp=None, disconnection_reason=DisconnectionReason.DIAL_BUSY),
        ended_call(4),
    )
    counts = await books.history.counts(START + 1_000, without=["call-000004", "call-x"])
    calls = [ended_call(1, report=heard), ended_call(2, report=SILENT)]
    calls.append(
        ended_call(3, answer_timestamp=None, disconnection_reason=DisconnectionReason.DIAL_BUSY)
    )
    assert counts == Counts.of(map(listed, calls))
    assert (counts.ended, counts.answered, counts.silent) == (3, 2, 1)
    assert counts.reasons == {"user_hangup": 2, "dial_busy": 1}
    assert counts.first_audio_p50_ms == 900
    nothing = await books.history.counts(START + 10**9, without=[])
    assert (nothing.ended, nothing.first_audio_p50_ms) == (0, None)


async def test_one_persons_calls_are_deleted(books: Books) -> None:
    person = "+61491570156"
    inbound = {"direction": Direction.INBOUND, "from_number": person}
    outbound = {"direction": Direction.OUTBOUND, "to_number": "61491570156"}
    await books.save(
        ended_call(0, **inbound),
        ended_call(1, **outbound),
        ended_call(2, direction=Direction.INBOUND, to_number=person),
        ended_call(3, direction=Direction.OUTBOUND, from_number=person),
        ended_call(4, from_number=person + "1"),
    )
    assert await books.history.delete_party(person) == {"call-000000", "call-000001"}
    assert await pages(books, ALL, 10) == [4, 3, 2]
    assert ids(await found(books, "call-000001")) == []


async def test_old_calls_expire(books: Books, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "BATCH", 3)
    await books.save(*(ended_call(number) for number in range(10)))
    before = START + 8_000 + 60_000
    assert [await books.history.expire(before) for _ in range(4)] == [3, 3, 2, 0]
    assert await pages(books, ALL, 10) == [9, 8]


async def test_a_search_reaches_beyond_the_newest_calls(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history_module, "SEARCH_WINDOW", 10)
    calls = [ended_call(number) for number in range(60)]
    marked = [replace(call, to_number="+61491570156") for call in calls[::7]]
    await books.save(*calls, revision=1)
    await books.save(*marked, revision=2)
    for limit in (2, 3, 100):
        found = await pages(books, CallFilter(search="91570", include_ended=True), limit)
        assert found == [56, 49, 42, 35, 28, 21, 14, 7, 0]
