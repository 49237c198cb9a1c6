"""Tables are made once, whoever starts at the same time; URLs, rights, and what a file may be."""

import asyncio
import zlib
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from gateway.calls.conversation import ConversationProblem
from gateway.config.loader import build_config
from gateway.config.secret_values import secret_values
from gateway.config.settings import Config, HistorySettings
from gateway.errors import ConfigError
from gateway.history.database import open_history
from gateway.history.history import History
from gateway.history.schema import METADATA
from gateway.storage.registry import CallFilter
from tests.history.conftest import Books, ended_call, running_gateway
from tests.history.postgres import Postgres


@pytest.fixture
def own_url(history_url: str, request: pytest.FixtureRequest) -> str:
    """A database that no other test uses."""
    if not history_url.startswith("postgresql"):
        return history_url
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.create_database(f"own_{zlib.crc32(request.node.name.encode())}")


async def test_the_migrations_make_the_tables_that_the_code_uses(books: Books) -> None:
    def differences(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), METADATA)

    found = await books.database.read(lambda it: it.run_sync(differences))
    # Alembic does not know the index of searches.
    ours = [it for it in found if "calls_search" not in str(it)]
    assert ours == []


async def test_gateways_that_start_at_once_do_not_collide(
    own_url: str,
) -> None:
    settings = HistorySettings(url=own_url, timeout=20)

    async def start(number: int) -> None:
        async with running_gateway(own_url) as gateway:
            await gateway.end_call(number)
            await gateway.save()
            assert gateway.writer.status.problem == ""

    await asyncio.gather(*(start(number) for number in range(4)))
    async with open_history(settings) as database:
        assert database
        await database.prepare()
        count = text("SELECT count(*) FROM calls")
        result = await database.read(lambda it: it.execute(count))
        assert result.scalar() == 4


async def test_calls_that_were_saved_before_are_found_by_their_verdict(
    own_url: str,
) -> None:
    silent = {"first_audio_ms": 1_200, "longest_silence_ms": 8_000}
    forged = '"verdict":"silent_agent"'
    async with open_history(HistorySettings(url=own_url, timeout=20)) as database:
        assert database
        await database.prepare()
        books = Books(History(database), database, own_url)
        await books.save(ended_call(1, report=silent), ended_call(2, agent_name=forged))
        for statement in (
            "DROP INDEX calls_by_verdict",
            "ALTER TABLE calls DROP COLUMN verdict",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            await database.write(lambda it, sql=statement: it.execute(text(sql)))  # type: ignore[misc]
        await database.prepare()
        by_verdict = CallFilter(verdict=ConversationProblem.SILENT_AGENT)
        found = await books.history.page(by_verdict, limit=5, after=None)
        assert [call.position[1] for call in found] == ["call-000001"]


async def test_without_rights_for_the_extension_searches_work_all_the_same(
    postgres: Postgres,
) -> None:
    url = postgres.create_database("no_trigrams")
    postgres.query("REVOKE CREATE ON DATABASE no_trigrams FROM PUBLIC", "no_trigrams")
    postgres.query("ALTER DATABASE no_trigrams OWNER TO postgres")
    postgres.query("GRANT CREATE ON SCHEMA public TO gateway", "no_trigrams")
    async with open_history(HistorySettings(url=url, timeout=20)) as database:
        assert database
        await database.prepare()
        books = Books(History(database), database, url)
        await books.save(ended_call(1), ended_call(2))
        found = await books.history.page(CallFilter(search="000001"), limit=5, after=None)
        assert [call.position[1] for call in found] == ["call-000001"]
    index = "SELECT indexname FROM pg_indexes WHERE indexname = 'calls_search'"
    assert not postgres.query(index, "no_trigrams")


async def test_where_trigrams_may_be_added_searches_have_an_index(postgres: Postgres) -> None:
    url = postgres.create_database("trigrams")
    async with open_history(HistorySettings(url=url, timeout=20)) as database:
        assert database
        await database.prepare()
    index = "SELECT indexdef FROM pg_indexes WHERE indexname = 'calls_search'"
    assert "gin_trgm_ops" in postgres.query(index, "trigrams")


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("none", ""),
        ("sqlite:///data/history.db", "sqlite:///data/history.db"),
        ("sqlite:////var/lib/gateway/history.db", "sqlite:////var/lib/gateway/history.db"),
        ("postgres://db.example.com/gateway", "postgresql://db.example.com/gateway"),
        (
            "postgresql://gw:h%40sh@db.example.com:5432/gateway?sslmode=require",
            "postgresql://gw:h%40sh@db.example.com:5432/gateway?sslmode=require",
        ),
    ],
)
def test_urls(url: str, form: str) -> None:
    assert build_config({}, {"HISTORY_URL": url}).history.url == form


@pytest.mark.parametrize(
    "url",
    [
        "history.db",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://gw:hush@db.example.com/gateway",
        "postgresql://db.example.com",
        "postgresql://gw:hu/sh@db.example.com/gateway",
    ],
)
def test_a_url_of_another_form_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config({}, {"HISTORY_URL": url})
    (problem,) = caught.value.problems
    assert problem.startswith("history.url (HISTORY_URL): must be sqlite:///file")
    assert "hu" not in problem.replace("HISTORY_URL", "")


def test_a_password_is_set_in_the_environment_only() -> None:
    url = "postgresql://gw:hush@db.example.com/gateway"
    with pytest.raises(ConfigError, match=r"history\.url: holds a password, set HISTORY_URL"):
        build_config({"history": {"url": url}}, {})


def test_a_password_is_in_no_log_and_no_repr() -> None:
    config: Config = build_config({}, {"HISTORY_URL": "postgresql://gw:h%40sh@db.example.com/gw"})
    assert {"h%40sh", "h@sh"} <= secret_values(config)
    assert "sh@db" not in repr(config)


async def test_a_file_is_the_users_own(tmp_path: Path) -> None:
    async with running_gateway(f"sqlite:///{tmp_path}/folder/history.db") as gateway:
        await gateway.end_call(1)
        await gateway.save()
        files = sorted((tmp_path / "folder").iterdir())
        assert [file.name for file in files] == ["history.db", "history.db-shm", "history.db-wal"]
        assert {file.stat().st_mode & 0o777 for file in files} == {0o600}
