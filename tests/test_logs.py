"""Log lines are written by a thread: soon, together, and all of them before the process ends."""

import io
import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Literal

import pytest
import structlog

from gateway import logs
from gateway.config.settings import LoggingSettings
from gateway.logs import LineHandler, LineListener, logs_configured

DEADLINE = 10.0


class Output(io.StringIO):
    """Records writes; they wait for `released`, and fail while `broken`."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []
        self.written = threading.Event()
        self.released = threading.Event()
        self.released.set()
        self.broken = False

    def write(self, text: str) -> int:
        assert self.released.wait(DEADLINE)
        if self.broken:
            raise OSError("no space left on device")
        self.writes.append(text)
        self.written.set()
        return len(text)


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def lines(output: Output) -> Iterator[LineHandler]:
    handler = LineHandler()
    listener = LineListener(handler, output)
    listener.start()
    yield handler
    output.released.set()
    listener.stop()


def test_a_line_is_written_soon_after_it_was_logged(lines: LineHandler, output: Output) -> None:
    lines.enqueue("first")
    assert output.written.wait(DEADLINE)
    assert output.writes == ["first\n"]


def test_lines_that_wait_are_written_together(lines: LineHandler, output: Output) -> None:
    output.released.clear()
    for number in range(500):
        lines.enqueue(str(number))
    output.released.set()
    lines.enqueue("last")
    while "last" not in "".join(output.writes):
        assert output.written.wait(DEADLINE)
    assert "".join(output.writes).split() == [*map(str, range(500)), "last"]
    assert len(output.writes) < 10


def test_the_event_loop_never_waits_and_dropped_lines_are_counted(
    lines: LineHandler, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "MAX_WAITING", 10)
    lines.setFormatter(logging.Formatter("%(message)s %(lines)s"))
    output.released.clear()
    for number in range(100):
        lines.enqueue(str(number))
    assert lines.dropped >= 100 - 2 * 10
    output.released.set()
    assert output.written.wait(DEADLINE)
    written = "".join(output.writes).splitlines()
    reported = int(written.pop().removeprefix("log.lines_dropped "))
    assert reported == 100 - len(written)


def test_a_line_that_cannot_be_written_is_counted_and_later_ones_are_written(
    lines: LineHandler, output: Output
) -> None:
    lines.setFormatter(logging.Formatter("%(message)s %(lines)s"))
    output.broken = True
    for number in (1, 2):
        lines.enqueue("lost")
        while lines.dropped < number:
            assert threading.Event().wait(0.001) is False
    output.broken = False
    lines.enqueue("next")
    assert output.written.wait(DEADLINE)
    assert "".join(output.writes) == "next\nlog.lines_dropped 2\n"


@pytest.mark.field("D11")
def test_lost_lines_are_counted_also_after_the_log_has_said_so(
    lines: LineHandler, output: Output
) -> None:
    lines.setFormatter(logging.Formatter("%(message)s %(lines)s"))
    output.broken = True
    lines.enqueue("lost")
    while not lines.dropped:
        assert threading.Event().wait(0.001) is False
    output.broken = False
    lines.enqueue("next")
    while lines.dropped:
        assert threading.Event().wait(0.001) is False
    assert lines.lost == 1


@pytest.mark.field("D11")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_field_that_cannot_be_rendered_fails_no_request(form: Literal["json", "console"]) -> None:
    class Unrenderable:
        def __repr__(self) -> str:
            raise RuntimeError("the-secret")

    stream = io.StringIO()
    before = logging.root.handlers[:]
    try:
        with logs_configured(LoggingSettings(format=form), [], stream):
            structlog.get_logger().info("call.ended", field=Unrenderable())
            structlog.get_logger().info("next.line")
    finally:
        logging.root.handlers[:] = before
        structlog.reset_defaults()
    first, second = stream.getvalue().splitlines()
    assert "log.line_invalid" in first
    assert "call.ended" in first
    assert "the-secret" not in first
    assert "next.line" in second


IN_A_PROCESS = """
import logging, structlog
from gateway.logs import logs_configured
from gateway.config.settings import LoggingSettings
with logs_configured(LoggingSettings(format={form!r}), ["the-secret"]):
    {script}
"""
LIBRARIES = """
    logging.getLogger("aiohttp.server").error("%s said %s", "+15550100", "the-secret")
    try:
        raise ValueError("no +15550100 with the-secret") from KeyError("the-secret")
    except ValueError:
        logging.getLogger("asyncio").exception("Task exception was never retrieved")
        structlog.get_logger().exception("request.failed", headers={"X-API-Key": "the-secret"})
"""


def stderr_of(script: str, form: str) -> str:
    """In a process of its own: logging is configured for the whole process."""
    program = IN_A_PROCESS.format(form=form, script=script.strip())
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )
    return ended.stderr


@pytest.mark.server
@pytest.mark.parametrize("form", ["json", "console"])
def test_libraries_and_exceptions_are_redacted_too(form: str) -> None:
    text = stderr_of(LIBRARIES, form)
    assert "[number] said [secret]" in text
    assert text.count("no [number] with [secret]") >= 2
    assert text.count("Traceback") >= 2
    assert "15550100" not in text
    assert "the-secret" not in text
    assert "X-API-Key" in text


@pytest.mark.server
def test_a_record_that_cannot_be_rendered_is_logged_without_its_arguments() -> None:
    """logging itself prints such a record raw."""
    text = stderr_of("logging.getLogger('aiohttp').error('%d calls', 'the-secret')", "json")
    line = json.loads(text)
    assert (line["event"], line["library"]) == ("log.record_invalid", "aiohttp")
    assert "the-secret" not in text


@pytest.mark.server
@pytest.mark.parametrize("end", ["raise SystemExit(3)", "raise OSError('no network')"])
def test_lines_before_a_crash_are_written(end: str) -> None:
    text = stderr_of(f"structlog.get_logger().info('last.line'); {end}", "json")
    assert json.loads(text.splitlines()[0])["event"] == "last.line"


@pytest.mark.server
@pytest.mark.parametrize("form", ["auto", "console"])
def test_there_are_no_colours_in_a_file(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    assert "\x1b" not in stderr_of("structlog.get_logger().warning('a.warning', a=1)", form)


@pytest.mark.server
def test_a_parent_with_a_terminal_can_force_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b" in stderr_of("structlog.get_logger().warning('a.warning', a=1)", "console")


def test_every_line_has_the_same_first_fields() -> None:
    stream = io.StringIO()
    before = logging.root.handlers[:]
    try:
        with logs_configured(LoggingSettings(format="json"), [], stream):
            structlog.get_logger().warning("call.ended", call_id="call-1")
            logging.getLogger("aiohttp").warning("a library's")
    finally:
        logging.root.handlers[:] = before
        structlog.reset_defaults()
    ours, foreign = map(json.loads, stream.getvalue().splitlines())
    assert {"timestamp", "level", "event", "call_id"} == ours.keys()
    assert {"timestamp", "level", "event", "logger"} == foreign.keys()
    assert ours["timestamp"].endswith("Z")
