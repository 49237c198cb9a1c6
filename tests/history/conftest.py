"""A history in SQLite and in a real PostgreSQL: what a test asserts holds for both."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from gateway.calls.call import Call, CallStatus, Direction
from gateway.calls.reasons import DisconnectionReason
from gateway.config.settings import CallbackSettings, HistorySettings
from gateway.history.audit import Audit
from gateway.history.database import HistoryDatabase, open_history
from gateway.history.directory import CallDirectory
from gateway.history.history import History
from gateway.history.records import row_of
from gateway.history.writer import HistoryWriter
from gateway.storage.backend import StorageBackend
from gateway.storage.unsaved import UnsavedCall
from tests.history.postgres import Postgres, postgres_server
from tests.storage.conftest import CONFIG, Receivers, StorageOpener, complete_call

START = 1_700_000_000_000


def ended_call(number: int, **fields: Any) -> Call:
    """A call that was answered and ended; the caller's number has the call's at its end."""
    start = START + number * 1000
    call = Call(
        call_id=f"call-{number:06}",
        direction=Direction.INBOUND,
        agent_name="agent",
        start_timestamp=start,
        from_number=f"+1555{number:07}",
        to_number="+15550199",
        call_status=CallStatus.ENDED,
        answer_timestamp=start + 100,
        end_timestamp=start + 60_000,
        disconnection_reason=DisconnectionReason.USER_HANGUP,
    )
    return replace(call, **fields)


@dataclass
class Books:
    """A history, and how a test writes to it."""

    history: History
    database: HistoryDatabase
    url: str

    async def save(self, *calls: Call, revision: int = 1, **fields: Any) -> None:
        items = [
            UnsavedCall(call.call_id, call, fields.get("deliveries", []), revision)
            for call in calls
        ]
        for start in range(0, len(items), 500):
            batch = items[start : start + 500]
            await self.history.save([row_of(item, item.call) for item in batch if item.call])


@pytest.fixture(scope="session")
def postgres(server_process: None) -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def history_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/history.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url


@pytest.fixture
async def books(history_url: str) -> AsyncIterator[Books]:
    """An empty history."""
    async with open_history(HistorySettings(url=history_url, timeout=20)) as database:
        assert database
        await database.prepare()
        yield Books(History(database), database, history_url)
        await database.write(_empty)


async def _empty(connection: Any) -> None:
    for table in ("calls", "audit"):
        await connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608 - a name of ours


def ids(calls: Sequence[Any]) -> list[int]:
    """The numbers of calls that were made by `ended_call()`."""
    return [int(call.position[1].removeprefix("call-")) for call in calls]


@dataclass
class Gateway:
    """What one gateway has to do with the history; its registry is in memory."""

    storage: StorageBackend
    database: HistoryDatabase
    history: History
    audit: Audit
    writer: HistoryWriter
    directory: CallDirectory

    async def end_call(self, number: int, **fields: Any) -> str:
        """A call that begins and ends now; returns its id."""
        return (await complete_call(self.storage.registry, number, **fields)).call_id

    async def save(self) -> None:
        """What the writer does by itself, without its pauses."""
        await self.writer.step(settled_only=False)


@asynccontextmanager
async def running_gateway(
    url: str, *, within: float = 20, retention: float = 10**8
) -> AsyncIterator[Gateway]:
    settings = HistorySettings(url=url, timeout=within, retention=retention)
    config = replace(CONFIG, history=settings, callbacks=CallbackSettings())
    opener = StorageOpener("", Receivers())
    async with opener.opened(config) as storage, open_history(settings) as database:
        assert database
        history, audit = History(database), Audit(database, lambda: opener.now)
        writer = HistoryWriter(
            settings,
            database=database,
            history=history,
            audit=audit,
            unsaved=storage.unsaved,
            clock=lambda: opener.now,
        )
        directory = CallDirectory(storage, history, lambda: opener.now)
        yield Gateway(storage, database, history, audit, writer, directory)


@pytest.fixture
async def gateway(books: Books) -> AsyncIterator[Gateway]:
    """A gateway whose history is that of `books`."""
    async with running_gateway(books.url) as gateway:
        await gateway.save()
        yield gateway
