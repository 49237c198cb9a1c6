"""Behind a call's end: what is saved, what waits while the database is away, what is said of it."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from gateway.calls.call import Event, EventKind
from gateway.history import dialects
from gateway.history.writer import HistoryState
from gateway.storage.memory import unsaved as memory_unsaved
from gateway.storage.registry import CallFilter
from tests.history.conftest import START, Books, Gateway, ended_call, running_gateway
from tests.history.postgres import PASSWORD, QUOTED, Postgres
from tests.storage.conftest import call

ALL = CallFilter(include_ended=True)


async def saved(gateway: Gateway) -> list[str]:
    page = await gateway.history.page(ALL, limit=200, after=None)
    return [call.position[1] for call in page]


async def test_ended_calls_are_saved_and_active_ones_are_not(gateway: Gateway) -> None:
    await gateway.storage.registry.add(call(1))
    for number in range(2, 60):  # more than one batch
        await gateway.end_call(number)
    await gateway.save()
    assert len(await saved(gateway)) == 58
    assert gateway.writer.status.waiting == 0
    assert gateway.writer.status.state is HistoryState.OK


async def test_what_arrives_after_the_end_updates_the_record(gateway: Gateway) -> None:
    call_id = await gateway.end_call(1)
    await gateway.save()
    report = {"transcript": [], "call_analysis": {"call_summary": "Short."}}
    event = Event(EventKind.AGENT_REPORT, START, report=report)
    await gateway.storage.registry.apply(call_id, event)
    await gateway.save()
    kept: Any = await gateway.history.get(call_id)
    assert kept["call_analysis"] == {"call_summary": "Short."}


@pytest.mark.parametrize("odd", ["\ud800", object()])
async def test_a_call_that_cannot_be_stored_keeps_no_other_from_it(
    gateway: Gateway, odd: object
) -> None:
    await gateway.end_call(1)
    await gateway.end_call(2, metadata={"odd": odd})
    await gateway.end_call(3)
    with capture_logs() as lines:
        await gateway.save()
    assert await saved(gateway) == ["call-0003", "call-0001"]
    assert gateway.writer.status.lost == 1
    assert [line["call_id"] for line in lines if line["event"] == "history.call_refused"] == [
        "call-0002"
    ]


async def test_old_calls_expire(books: Books) -> None:
    await books.save(ended_call(1), ended_call(100_000))
    async with running_gateway(books.url, retention=3600) as gateway:
        gateway.writer._clock = lambda: START + 2 * 3_600_000
        await gateway.save()
        assert await saved(gateway) == ["call-100000"]


async def test_a_database_away_is_said_once_and_caught_up(postgres: Postgres) -> None:
    url = postgres.create_database("away")
    async with running_gateway(url, within=5) as gateway:
        with capture_logs() as lines:
            await gateway.end_call(1)
            await gateway.save()
            postgres.stop()
            try:
                await gateway.end_call(2)
                for _ in range(3):
                    await gateway.save()
                status = gateway.writer.status
                assert (status.state, status.waiting) == (HistoryState.UNAVAILABLE, 1)
                page = await gateway.directory.page(ALL, limit=5)
                assert (len(page.calls), page.is_complete) == (2, False)
            finally:
                postgres.start()
            await gateway.save()
        assert gateway.writer.status.waiting == 0
        events = [line["event"] for line in lines]
        assert events.count("history.unavailable") <= 2  # the connection broke, then none was made
        assert events[-1] == "history.available"
        assert not any(secret in str(lines) for secret in (PASSWORD, QUOTED))
        gateway.database._rests_until = 0
        assert await saved(gateway) == ["call-0002", "call-0001"]


@pytest.mark.parametrize("why", ["password", "database", "host"])
async def test_a_wrong_url_is_explained_without_its_password(postgres: Postgres, why: str) -> None:
    url, text = {
        "password": (postgres.url_of("gateway", password="guess"), "password authentication"),
        "database": (postgres.url_of("missing"), "does not exist"),
        "host": ("postgresql://gateway:guess@127.0.0.1:9/x", "Connect call failed"),
    }[why]
    async with running_gateway(url, within=5) as gateway:
        await gateway.save()
        problem = gateway.writer.status.problem
        assert text in problem
        assert not any(secret in problem for secret in (PASSWORD, QUOTED, "guess"))


async def test_a_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, no folder")
    async with running_gateway(f"sqlite:///{tmp_path}/data/history.db") as gateway:
        await gateway.end_call(1)
        await gateway.save()
        assert "data" in gateway.writer.status.problem
        (tmp_path / "data").unlink()
        await gateway.save()
        assert gateway.writer.status.problem == ""
        assert await saved(gateway) == ["call-0001"]
        assert (tmp_path / "data" / "history.db").stat().st_mode & 0o077 == 0


async def test_a_full_disk_is_said_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = "max_page_count=40"
    monkeypatch.setattr(dialects, "_PRAGMAS", (*dialects._PRAGMAS, pages))
    async with running_gateway(f"sqlite:///{tmp_path}/history.db") as gateway:
        await gateway.save()
        with capture_logs() as lines:
            for number in range(3):
                await gateway.end_call(number, metadata={"text": "x" * 100_000})
            for _ in range(3):
                await gateway.save()
        status = gateway.writer.status
        assert "full" in status.problem
        assert (status.waiting, status.lost) == (3, 0)
        assert [line["event"] for line in lines].count("history.unavailable") == 1
    monkeypatch.undo()
    async with running_gateway(f"sqlite:///{tmp_path}/history.db") as gateway:
        await gateway.save()
        assert await saved(gateway) == []


async def test_a_read_only_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/history.db"
    async with running_gateway(url) as gateway:
        await gateway.save()
    monkeypatch.setattr(dialects, "_PRAGMAS", (*dialects._PRAGMAS, "query_only=ON"))
    async with running_gateway(url) as gateway:
        await gateway.end_call(1)
        await gateway.save()
        assert "readonly" in gateway.writer.status.problem


async def test_a_file_that_is_no_database_is_said(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"no database" * 1000)
    async with running_gateway(f"sqlite:///{tmp_path}/history.db") as gateway:
        await gateway.save()
        assert "not a database" in gateway.writer.status.problem


async def test_a_locked_file_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "history.db"
    async with running_gateway(f"sqlite:///{file}", within=0.2) as gateway:
        await gateway.save()
        await gateway.end_call(1)
        with sqlite3.connect(file, isolation_level=None) as other:
            other.execute("BEGIN IMMEDIATE")
            await gateway.save()
            assert gateway.writer.status.state is HistoryState.UNAVAILABLE
            other.execute("ROLLBACK")
        other.close()
        await gateway.save()
        assert gateway.writer.status.waiting == 0


_REVISION = text("SELECT version_num FROM alembic_version")


async def test_a_database_of_a_newer_gateway_is_left_alone(books: Books) -> None:
    revision = await books.database.read(lambda it: it.scalar(_REVISION))
    await _set_revision(books, "9999")
    try:
        async with running_gateway(books.url) as gateway:
            await gateway.end_call(1)
            await gateway.save()
            assert "upgrade this gateway" in gateway.writer.status.problem
            assert gateway.writer.status.waiting == 1
    finally:
        await _set_revision(books, revision)


async def _set_revision(books: Books, revision: str) -> None:
    statement = f"UPDATE alembic_version SET version_num = '{revision}'"  # noqa: S608 - of ours
    await books.database.write(lambda it: it.exec_driver_sql(statement))


async def test_what_is_dropped_is_said_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory_unsaved, "MAX_UNSAVED", 2)
    (tmp_path / "data").write_text("")
    async with running_gateway(f"sqlite:///{tmp_path}/data/history.db") as gateway:
        for number in range(5):
            await gateway.end_call(number)
        await gateway.storage.registry.prune(START * 2)
        (tmp_path / "data").unlink()
        with capture_logs() as lines:
            await gateway.save()
        assert gateway.writer.status.lost == 3
        assert {"event": "history.calls_lost", "calls": 3, "log_level": "error"} in lines
        assert await saved(gateway) == ["call-0004", "call-0003"]


async def test_a_gateway_that_stops_saves_what_waits(gateway: Gateway) -> None:
    await gateway.end_call(1)
    await gateway.writer.close(grace=20)
    assert await saved(gateway) == ["call-0001"]


async def test_a_gateway_that_stops_without_its_database_says_what_it_loses(
    tmp_path: Path,
) -> None:
    (tmp_path / "data").write_text("")
    async with running_gateway(f"sqlite:///{tmp_path}/data/history.db") as gateway:
        await gateway.end_call(1)
        await gateway.save()
        await gateway.end_call(2)
        with capture_logs() as lines:
            await gateway.writer.close(grace=5)
        assert {"event": "history.calls_unsaved", "calls": 2, "log_level": "error"} in lines
