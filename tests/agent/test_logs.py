"""The worker logs in the gateway's format: the same fields, the same time stamp."""

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest
import structlog

from agent.logs import configure_logs
from agent.settings import read_settings
from gateway.config.settings import LoggingSettings
from gateway.logs import logs_configured

EXC_TEXT = "Traceback (most recent call last):\n  …\nValueError: no"


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    before, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = before
    logging.root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def of_a_job(**fields: object) -> logging.LogRecord:
    """A record as the framework passes it on from a job's process."""
    known = {"name": "agent.call", "levelno": 20, "levelname": "INFO", "msg": "job.received"}
    added = {"job_id": "AJ_1", "room": "call-1", "room_id": "RM_1", "pid": 7}
    return logging.makeLogRecord({**known, **added, **fields})


def test_both_write_the_same_fields(stream: io.StringIO) -> None:
    with logs_configured(LoggingSettings(format="json"), [], stream):
        structlog.get_logger().info("call.ended", call_id="call-1", job_id="AJ_1")
    configure_logs("info", "json", stream)
    logging.getLogger("agent.call").handle(of_a_job())
    gateway, worker = map(json.loads, stream.getvalue().splitlines())
    assert worker.keys() - gateway.keys() == {"logger"}
    assert gateway.keys() <= worker.keys()
    assert (worker["event"], worker["level"]) == ("job.received", "info")
    assert worker["call_id"] == gateway["call_id"] == "call-1"
    for line in (gateway, worker):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["timestamp"])


def test_a_jobs_traceback_is_a_field_and_not_part_of_the_event(stream: io.StringIO) -> None:
    configure_logs("info", "json", stream)
    record = of_a_job(msg=f"call.failed\n{EXC_TEXT}", exc_text=EXC_TEXT)
    logging.getLogger("agent.call").handle(record)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["exception"]) == ("call.failed", EXC_TEXT)


def test_an_exception_of_the_worker_itself_is_a_field(stream: io.StringIO) -> None:
    configure_logs("info", "json", stream)
    try:
        int("no")
    except ValueError:
        logging.getLogger("agent.watchdog").exception("report.failed")
    line = json.loads(stream.getvalue())
    assert line["event"] == "report.failed"
    assert line["exception"].endswith("base 10: 'no'")


def test_there_are_no_colours_in_a_file(stream: io.StringIO) -> None:
    configure_logs("info", "console", stream)
    logging.getLogger("agent.call").handle(of_a_job())
    assert "job.received" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


def test_one_setting_is_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("GATEWAY__LOGGING__FORMAT", "json")
    monkeypatch.setenv("GATEWAY__LOGGING__LEVEL", "debug")
    settings = read_settings()
    assert (settings.log_format, settings.log_level) == ("json", "debug")
    monkeypatch.setenv("GATEWAY__LOGGING__FORMAT", "colored")
    with pytest.raises(ValueError, match="GATEWAY__LOGGING__FORMAT must be one of"):
        read_settings()
