"""A gateway in this process, and `gateway calls` in a thread beside it."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.cli import main
from tests.conftest import DISPATCH_KEY, Client

#: Runs `gateway calls …`; returns the exit code, standard output and standard error.
Calls = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def _quiet() -> Iterator[None]:
    """The gateway's log would be among the command's output."""
    with capture_logs():
        yield


@pytest.fixture
def calls(
    _quiet: None,
    gateway: Client,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Calls:
    """The command, against the fixture `gateway` and with a key that may do everything."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GATEWAY_API_KEYS", f"ops:dispatch:{DISPATCH_KEY}")
    url = str(gateway.make_url("")).rstrip("/")

    async def run(*words: str, url: str = url) -> tuple[int, str, str]:
        status = await asyncio.to_thread(main, ["calls", *words, "--url", url])
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Makes standard output a terminal of so many columns."""

    def make(columns: int) -> None:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.delenv("NO_COLOR", raising=False)
        monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    return make
