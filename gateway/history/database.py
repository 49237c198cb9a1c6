"""The history's database: asked within a time limit, and migrated when it is first used."""

import asyncio
import fcntl
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.config.settings import HistorySettings
from gateway.errors import HistoryUnavailable
from gateway.history.dialects import (
    JOURNAL_MODE,
    MIGRATION_LOCK,
    WRITES,
    create_engine,
    sqlite_file,
)

#: How long a reader does not ask a database that has just failed, in s: it would wait each time.
REST = 1.0
#: How long migrating may take, in s: an index is made of all rows.
MIGRATION_TIMEOUT = 600.0
#: What drivers and the operating system raise where the statement is not to blame.
_FAILURES = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    sqlite3.Error,
    OSError,
    TimeoutError,
)
#: SQLSTATE classes whose text is about the server, not about the values of a row: connection,
#: credentials, database, rights, resources, operator, system.
_SERVER_STATES = ("08", "28", "3D", "42501", "53", "55", "57", "58")

T = TypeVar("T")
Work = Callable[[AsyncConnection], Awaitable[T]]


class RowRefused(Exception):
    """The database does not take a value, however often it is tried; the text has no values."""


class HistoryDatabase:
    """Reads and writes raise HistoryUnavailable; its text has no password and no values."""

    def __init__(self, engine: AsyncEngine, *, file: Path | None, timeout: float) -> None:
        self._engine = engine
        self._file = file
        self._timeout = timeout
        self._rests_until = 0.0
        self.is_ready = False

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    async def read(self, work: Work[T]) -> T:
        """The result of `work`; without asking, if the database has just not answered."""
        await self.check_ready()
        if time.monotonic() < self._rests_until:
            raise HistoryUnavailable("history: its database does not answer")
        try:
            return await self._attempt(lambda: self._read(work), within=self._timeout)
        except HistoryUnavailable:
            self._rests_until = time.monotonic() + REST
            raise

    async def write(self, work: Work[T]) -> T:
        """The result of `work`, in one transaction. Raises RowRefused, too."""
        await self.check_ready()
        return await self._attempt(lambda: self._write(work), within=self._timeout)

    async def prepare(self) -> None:
        """Create or migrate the tables; one gateway at a time."""
        await self._attempt(self._migrate, within=MIGRATION_TIMEOUT)
        self.is_ready = True

    async def check_ready(self) -> None:
        """Raises HistoryUnavailable before `prepare()` has succeeded."""
        if not self.is_ready:
            raise HistoryUnavailable("history: its database was not reached yet")

    async def _read(self, work: Work[T]) -> T:
        async with self._engine.connect() as connection:
            return await work(connection)

    async def _write(self, work: Work[T]) -> T:
        async with self._engine.connect() as connection:
            await connection.execution_options(**{WRITES: True})
            async with connection.begin():
                return await work(connection)

    async def _migrate(self) -> None:
        if self._file:
            _create_private(self._file)

        async def upgrade(connection: AsyncConnection) -> None:
            if self.dialect == "postgresql":
                lock = text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
                await connection.execute(lock)
            await connection.run_sync(_upgrade)

        await self._write(upgrade)

    async def _attempt(self, attempt: Callable[[], Awaitable[T]], *, within: float) -> T:
        try:
            async with asyncio.timeout(within):
                return await attempt()
        except (DataError, IntegrityError) as error:
            raise RowRefused(_message(error)) from None
        except CommandError:
            message = "history: a newer gateway has changed its database: upgrade this gateway"
            raise HistoryUnavailable(message) from None
        except _FAILURES as error:
            raise HistoryUnavailable(f"history: {_message(error)}") from None


@asynccontextmanager
async def open_history(settings: HistorySettings) -> AsyncIterator[HistoryDatabase | None]:
    """None without a URL. Nothing is connected yet: a gateway starts without its history, too."""
    if not settings.url:
        yield None
        return
    engine = create_engine(settings.url, timeout=settings.timeout)
    try:
        yield HistoryDatabase(engine, file=sqlite_file(settings.url), timeout=settings.timeout)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", "gateway.history:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _create_private(file: Path) -> None:
    """Make the file, readable for this user only (SQLite would make it so for everyone).

    It has its journal mode from the start: of several gateways that changed it at once, one would
    wait for the others' locks until it gave up.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        file.touch(mode=0o600)
        if not file.stat().st_size:
            with closing(sqlite3.connect(file)) as connection:
                connection.execute(f"PRAGMA {JOURNAL_MODE}")
    finally:
        os.close(folder)


def _message(error: Exception) -> str:
    """What happened, in the database's words where these cannot quote what was stored."""
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    if isinstance(error, TimeoutError):
        return "its database did not answer in time"
    if cause is not None and isinstance(cause.__cause__, asyncpg.PostgresError):
        cause = cause.__cause__
    state = str(getattr(cause, "sqlstate", None) or "")
    is_quotable = not state or state.startswith(_SERVER_STATES)
    if isinstance(error, DataError | IntegrityError) or not is_quotable:
        return f"its database has refused a statement: {type(cause).__name__} {state}".rstrip()
    return f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}".rstrip(
        ": "
    )
