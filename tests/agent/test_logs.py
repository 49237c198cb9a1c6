"""The worker logs in the gateway's format: the same fields, the same time stamp."""

import io
import json
import logging
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Literal, TextIO

import pytest
import structlog

from agent.logs import LogSettings, configure_logs
from agent.settings import read_settings
from gateway.config.loader import build_config
from gateway.config.settings import LoggingSettings
from gateway.logs import logs_configured

URL = "wss://livekit.example.com"
LIVEKIT = {"LIVEKIT_URL": URL, "LIVEKIT_API_KEY": "key", "LIVEKIT_API_SECRET": "x"}
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
EXC_TEXT = "Traceback (most recent call last):\n  …\nValueError: no"


JSON, CONSOLE = LogSettings(format="json"), LogSettings(format="console")
SECRETS = ["the-secret"]


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Logging is configured for the whole process: each test leaves it as it was."""
    loggers = [logging.root, logging.getLogger("agent"), logging.getLogger("livekit.agents")]
    handlers, levels = logging.root.handlers[:], [logger.level for logger in loggers]
    yield
    logging.root.handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def of_a_job(**fields: object) -> logging.LogRecord:
    """A record as the framework passes it on from a job's process."""
    known = {"name": "agent.call", "levelno": 20, "levelname": "INFO", "msg": "job.received"}
    added = {"job_id": "AJ_1", "room": "call-1", "room_id": "RM_1", "pid": 7}
    record = logging.makeLogRecord({**known, **added, **fields})
    record.message = record.getMessage()
    return record


@pytest.mark.parametrize("form", ["json", "console"])
def test_gateway_and_worker_write_the_same_line(form: Literal["json", "console"]) -> None:
    """A library's record and its exception, since those go through both."""
    lines = []
    for write in (_by_gateway, _by_worker):
        stream = io.StringIO()
        write(form, stream)
        lines.append(re.sub(TIMESTAMP, "<timestamp>", stream.getvalue()))
    gateway, worker = map(json.loads, lines) if form == "json" else lines
    assert gateway == worker
    assert "<timestamp>" in lines[0]


def _by_gateway(form: str, stream: TextIO) -> None:
    with logs_configured(LoggingSettings(format=form), SECRETS, stream):
        _log_failure()


def _by_worker(form: Literal["json", "console"], stream: TextIO) -> None:
    configure_logs(LogSettings(format=form), SECRETS, stream)
    _log_failure()


def _log_failure() -> None:
    try:
        int("+15550100 the-secret")
    except ValueError:
        logging.getLogger("aiohttp").exception("%s failed", "+15550199")


def test_a_job_has_the_fields_of_a_call(stream: io.StringIO) -> None:
    with logs_configured(LoggingSettings(format="json"), [], stream):
        structlog.get_logger().info("call.ended", call_id="call-1", job_id="AJ_1")
    configure_logs(JSON, [], stream)
    logging.getLogger("agent.call").handle(of_a_job())
    gateway, worker = map(json.loads, stream.getvalue().splitlines())
    assert worker.keys() - gateway.keys() == {"logger"}
    assert gateway.keys() <= worker.keys()
    assert (worker["event"], worker["level"]) == ("job.received", "info")
    assert worker["call_id"] == gateway["call_id"] == "call-1"
    for line in (gateway, worker):
        assert re.fullmatch(TIMESTAMP, line["timestamp"])


def test_a_jobs_traceback_is_a_field_and_not_part_of_the_event(stream: io.StringIO) -> None:
    configure_logs(JSON, [], stream)
    record = of_a_job(msg=f"call.failed\n{EXC_TEXT}", exc_text=EXC_TEXT)
    logging.getLogger("agent.call").handle(record)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["exception"]) == ("call.failed", EXC_TEXT)


def test_an_exception_of_the_worker_itself_is_a_field(stream: io.StringIO) -> None:
    configure_logs(JSON, [], stream)
    try:
        int("no")
    except ValueError:
        logging.getLogger("agent.monitor").exception("report.failed")
    line = json.loads(stream.getvalue())
    assert line["event"] == "report.failed"
    assert line["exception"].endswith("base 10: 'no'")


def test_there_are_no_colours_in_a_file(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    configure_logs(CONSOLE, [], stream)
    logging.getLogger("agent.call").handle(of_a_job())
    assert "job.received" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("settings", [JSON, CONSOLE])
def test_neither_numbers_nor_secrets_are_logged(settings: LogSettings, stream: io.StringIO) -> None:
    configure_logs(settings, SECRETS, stream)
    record = of_a_job(
        msg=f"+15550100 said the-secret\n{EXC_TEXT}: +15550101",
        exc_text=f"{EXC_TEXT}: +15550101",
        headers={"X-API-Key": "the-secret", "From": "<sip:+15550102@sip.example.com>"},
    )
    logging.getLogger("livekit.agents").handle(record)
    text = stream.getvalue()
    assert "[number] said [secret]" in text
    assert "15550" not in text
    assert "the-secret" not in text


def test_what_people_say_is_not_logged(stream: io.StringIO) -> None:
    """livekit-agents marks such fields, and has most of them in its debug records."""
    configure_logs(LogSettings(level="debug", format="json"), [], stream)
    framework = logging.getLogger("livekit.agents")
    framework.warning("no answer", extra={"lk.pii.user_input": "my PIN is 1234", "language": "en"})
    framework.debug("received: my PIN is 1234")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["language"]) == ("no answer", "en")
    assert "PIN" not in stream.getvalue()


@pytest.mark.field("G6")
@pytest.mark.parametrize("level", ["info", "debug"])
def test_lines_that_every_healthy_call_has_are_debug(
    level: Literal["info", "debug"], stream: io.StringIO
) -> None:
    configure_logs(LogSettings(level=level, format="json"), [], stream)
    lines = (
        "livekit_ffi::server:165:livekit_ffi::server",
        "Attempted to drop unknown FFI handle: 7",
    )
    logging.getLogger("livekit").warning("%s - %s", *lines)
    assert ("FFI handle" in stream.getvalue()) is (level == "debug")
    for name, text in (
        ("livekit", "livekit_ffi - Attempted to use a handle"),
        ("agent.call", "x - Attempted to drop unknown FFI handle: 7"),
        ("livekit", "not only Attempted to drop unknown FFI handle: 7"),
    ):
        logging.getLogger(name).warning(text)
        assert text in stream.getvalue()


def test_a_record_that_cannot_be_rendered_is_logged_without_its_arguments(
    stream: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs(JSON, [], stream)
    for library in ("aiohttp", "livekit"):
        logging.getLogger(library).error("%d calls", "+15550100")
        line = json.loads(stream.getvalue().splitlines()[-1])
        assert (line["event"], line["library"]) == ("log.record_invalid", library)
    assert "15550100" not in stream.getvalue() + capsys.readouterr().err


def test_one_setting_is_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "GATEWAY__LOGGING__FORMAT": "json",
        "GATEWAY__LOGGING__LEVEL": "debug",
        "GATEWAY__LOGGING__REDACT": "false",
    }
    for name, value in (LIVEKIT | env).items():
        monkeypatch.setenv(name, value)
    worker, for_gateway = read_settings().logging, build_config({}, env).logging
    assert asdict(worker) == asdict(for_gateway)
    assert asdict(LogSettings()) == asdict(LoggingSettings())
    monkeypatch.setenv("GATEWAY__LOGGING__FORMAT", "colored")
    with pytest.raises(ValueError, match="GATEWAY__LOGGING__FORMAT must be one of"):
        read_settings()


def test_variables_named_like_secrets_hold_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = "whsec_" + "bmV3" * 8, "whsec_" + "b2xk" * 8
    others = {"VOICE_API_KEY": "voice-key-1", "CALLBACK_SECRET": f"{new},{old}"}
    for name, value in (LIVEKIT | others | {"SOME_TOKEN": "yes"}).items():
        monkeypatch.setenv(name, value)
    secrets = read_settings().secrets
    assert {"voice-key-1", new, old, *LIVEKIT.values()} - secrets == {URL}
    assert "yes" not in secrets
