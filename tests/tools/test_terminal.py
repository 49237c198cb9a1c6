"""Text for a terminal: tables that fit, no control characters, progress with and without a TTY."""

import io
import time

import pytest

from gateway.tools import terminal
from gateway.tools.terminal import WIDTH, Progress, Waiting, has_colours, table, width_of, wrapped


def test_cells_are_wrapped_but_addresses_are_not_broken() -> None:
    url = "https://" + "x" * 90
    text = table([("a", "b c " * 10, f"why {url}\nand more"), ("d", "", "e")], (4, 12))
    lines = text.splitlines()
    assert lines[0].startswith("a     b c b c b c ")
    assert [line for line in lines if line.endswith(url)]
    assert all(len(line) <= WIDTH for line in lines if url not in line)
    assert lines[-1] == "d                   e"


def test_control_characters_are_replaced() -> None:
    assert table([("\x1b[2Jname\r", "x")], (20,)) == "�[2Jname�             x"
    assert wrapped("\x1b]0;title\x07", label="fail  ") == ["fail  �]0;title�"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_without_a_terminal_is_plain_lines() -> None:
    stream = io.StringIO()
    with Progress("building", stream) as progress:
        progress.update("1 of 2")
    assert stream.getvalue().splitlines() == ["building ...", "building: done in 0:00"]


def test_progress_on_a_terminal_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("gateway.tools.terminal._REDRAW_INTERVAL", 0.001)
    stream = Terminal()
    with Progress("building", stream) as progress:
        progress.update("1 of 2")
        while "building: 0:00, 1 of 2" not in stream.getvalue():
            time.sleep(0.001)
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\r\x1b[Kbuilding: done in 0:00\n")


def test_a_failed_task_is_not_reported_as_done() -> None:
    stream = io.StringIO()
    with pytest.raises(ValueError, match="no"), Progress("building", stream):
        raise ValueError("no")
    assert "done" not in stream.getvalue()


def test_a_failed_task_clears_its_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    with pytest.raises(KeyError), Progress("building", stream):
        raise KeyError
    assert stream.getvalue().endswith("\r\x1b[K")


def test_waiting_for_a_moment_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for stream in (Terminal(), io.StringIO()):
        with Waiting("asking", stream):
            pass
        with pytest.raises(KeyError), Waiting("asking", stream):
            raise KeyError
        assert stream.getvalue() == ""


def test_who_waits_longer_sees_for_what(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "_REDRAW_INTERVAL", 0.001)
    monkeypatch.setattr(terminal, "_WAITING_DELAY", 0.0)
    stream = Terminal()
    with Waiting("checking", stream) as waiting:
        waiting.update("1 of 2")
        while "checking: 0:00, 1 of 2" not in stream.getvalue():
            time.sleep(0.001)
        waiting.print("ok    clock")
    assert capsys.readouterr().out == "ok    clock\n"
    assert "\n" not in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_colours_and_a_width_are_those_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "66")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert (width_of(Terminal()), has_colours(Terminal())) == (66, True)
    assert (width_of(io.StringIO()), has_colours(io.StringIO())) == (None, False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert width_of(Terminal()) is None
