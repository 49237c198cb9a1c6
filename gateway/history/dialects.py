"""What differs between SQLite and PostgreSQL: how to connect, and how to find part of a text."""

import re
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Column, ColumnElement, Connection, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from gateway.history.schema import CALLS

#: Connections of one gateway: few, since callers never wait for them.
CONNECTIONS = 4
#: So that gateways which start at once migrate one after the other; any number that is the same.
MIGRATION_LOCK = 0x6A_6C_68
#: The option of a connection that will write: SQLite's readers are not to wait for each other.
WRITES = "writes"

#: Readers do not wait for a writer. The file keeps it; one that was made without it gets it now.
JOURNAL_MODE = "journal_mode=WAL"
_PRAGMAS = (
    JOURNAL_MODE,
    "synchronous=NORMAL",  # a crash of the machine may cost the last commits, but damages nothing
    "foreign_keys=ON",
    "journal_size_limit=67108864",
)
#: The calls of today are the newest rows. For them, too, the index alone is read once they were
#: vacuumed; by default that waits until there are a fifth more rows.
_VACUUMED = "ALTER TABLE calls SET (autovacuum_vacuum_insert_scale_factor = 0.005)"
_SEARCH_TABLE = """
CREATE VIRTUAL TABLE calls_search USING fts5(
  search, content='calls', content_rowid='id', tokenize='trigram case_sensitive 1', detail='none')
"""
_SEARCH_TRIGGERS = (
    """CREATE TRIGGER calls_search_insert AFTER INSERT ON calls BEGIN
  INSERT INTO calls_search(rowid, search) VALUES (new.id, new.search); END""",
    """CREATE TRIGGER calls_search_delete AFTER DELETE ON calls BEGIN
  INSERT INTO calls_search(calls_search, rowid, search)
  VALUES ('delete', old.id, old.search); END""",
    """CREATE TRIGGER calls_search_update AFTER UPDATE OF search ON calls
  WHEN old.search <> new.search BEGIN
  INSERT INTO calls_search(calls_search, rowid, search) VALUES ('delete', old.id, old.search);
  INSERT INTO calls_search(rowid, search) VALUES (new.id, new.search); END""",
)


def create_engine(url: str, *, timeout: float) -> AsyncEngine:
    """An engine that connects when it is used; `timeout` in s."""
    options: dict[str, Any] = {
        "pool_size": CONNECTIONS,
        "max_overflow": 0,
        "pool_timeout": timeout,
        "hide_parameters": True,  # errors would quote transcripts
    }
    if file := sqlite_file(url):
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{file}", connect_args={"timeout": timeout}, **options
        )
        event.listen(engine.sync_engine, "connect", _on_sqlite_connect)
        event.listen(engine.sync_engine, "begin", _on_sqlite_begin)
        return engine

    async def connect() -> Any:
        # asyncpg itself reads the URL, with all parameters that psql knows, such as sslmode.
        settings = {"application_name": "gateway", "jit": "off"}
        return await asyncpg.connect(url, timeout=timeout, server_settings=settings)

    return create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, pool_pre_ping=True, **options
    )


def sqlite_file(url: str) -> Path | None:
    """The file of SQLite's URL, which may be relative; None for PostgreSQL."""
    path = url.removeprefix("sqlite:///")
    return None if path == url else Path(path)


def tune(connection: Connection) -> None:
    """Make the index of parts of numbers and ids: trigrams, in either database.

    PostgreSQL may have no `pg_trgm`, or not let this user add it; then searches read more rows.
    """
    if connection.dialect.name == "sqlite":
        for statement in (_SEARCH_TABLE, *_SEARCH_TRIGGERS):
            connection.execute(text(statement))
        return
    connection.execute(text(_VACUUMED))
    try:
        with connection.begin_nested():
            connection.execute(text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
    except DBAPIError:
        return
    connection.execute(
        text("CREATE INDEX calls_search ON calls USING gin (search gin_trgm_ops)"),
    )


def found_by_index(dialect: str, part: str) -> ColumnElement[bool]:
    """Whether a call's `search` contains `part`, found by the index where there is one."""
    if dialect != "sqlite":
        return CALLS.c.search.contains(part, autoescape=True)
    pattern = "*" + re.sub(r"([*?\[])", r"[\1]", part) + "*"
    found = text("SELECT rowid FROM calls_search WHERE search GLOB :part").bindparams(part=pattern)
    return CALLS.c.id.in_(found.columns(Column("rowid", CALLS.c.id.type)))


def _on_sqlite_connect(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # the driver would begin transactions of its own
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _on_sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
