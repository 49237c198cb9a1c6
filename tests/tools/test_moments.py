"""Times as people write them on the command line."""

import time
from collections.abc import Iterator
from datetime import datetime

import pytest

from gateway.tools.moments import local_time, read_moment

#: A Thursday in Berlin, at 02:30 in the night.
NOW = datetime(2026, 11, 26, 2, 30)  # noqa: DTZ001 - local, as on the command line


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("now", "2026-11-26T01:30"),
        ("90s", "2026-11-26T01:28:30"),
        ("30m", "2026-11-26T01:00"),
        ("2h", "2026-11-25T23:30"),
        ("2H ", "2026-11-25T23:30"),
        ("1d", "2026-11-25T01:30"),
        ("1w", "2026-11-19T01:30"),
        ("today", "2026-11-25T23:00"),
        ("Yesterday", "2026-11-24T23:00"),
        ("02:14", "2026-11-26T01:14"),
        ("2:14:07", "2026-11-26T01:14:07"),
        ("23:55", "2026-11-25T22:55"),
        ("2026-11-26", "2026-11-25T23:00"),
        ("2026-11-26T02:14", "2026-11-26T01:14"),
        ("2026-11-26 02:14", "2026-11-26T01:14"),
        ("2026-11-26T02:14:00Z", "2026-11-26T02:14"),
        ("2026-11-26T02:14+11:00", "2026-11-25T15:14"),
        # in summer Berlin is two hours ahead
        ("2026-07-01T02:00", "2026-07-01T00:00"),
        ("200d", "2026-05-10T01:30"),
        ("1764120000000", "2025-11-26T01:20"),
    ],
)
def test_a_time_is_read(text: str, utc: str) -> None:
    expected = datetime.fromisoformat(f"{utc}+00:00")
    assert read_moment(text, NOW) == expected.timestamp() * 1000


@pytest.mark.parametrize(
    "text", ["", "soon", "25:00", "2h30", "-2h", "2026-13-01", "1764120000", "9999999d", "999999w"]
)
def test_another_text_is_answered_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a time: 2h ago as 2h .*; not '"):
        read_moment(text, NOW)


def test_a_time_is_shown_where_the_reader_is() -> None:
    assert f"{local_time(1_782_864_000_000):%Y-%m-%d %H:%M %z}" == "2026-07-01 02:00 +0200"
