"""The worker's logs in the gateway's format: an event name with fields, JSON or text.

It holds for the worker's own records, the framework's, and those of jobs, which the framework
passes on from each job's process with the job's id and room. They are redacted like the gateway's.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.redaction import mask_fields, without_secrets

logger = logging.getLogger("agent.logs")

#: What libraries log in healthy calls: the logger, and how the record's text ends or begins.
#: livekit-rtc drops handles again that are gone with their room (livekit 1.1.21); the framework's
#: own health endpoint is not the one to ask (agent/health.py).
_HARMLESS = (
    ("livekit", re.compile(r" - Attempted to drop unknown FFI handle\b.*\Z")),
    ("livekit.agents", re.compile(r"\AHTTP server listening on ")),
)

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "json", "console"]

#: What the process of each call finds out anew is said once in so many s.
_SELDOM = frozenset({"tracing.collector_unavailable", "tracing.unavailable"})
_SELDOM_INTERVAL = 600.0

#: Fields that the framework adds to each record and that say nothing here.
_NOISE = frozenset({"message", "pid", "tid", "room_id"})
#: How the framework names fields that hold what people say.
_SPOKEN = "lk.pii."


@dataclass(frozen=True, slots=True)
class LogSettings:
    """The gateway's `logging` settings."""

    level: Level = "info"
    format: Format = "auto"
    redact: bool = True


def configure_logs(
    settings: LogSettings,
    secrets: Collection[str],
    stream: TextIO | None = None,
    *,
    add_fields: Callable[[logging.LogRecord], bool] = lambda _: True,
) -> None:
    """Log to `stream` (stderr), in place of whatever was configured.

    No line holds one of `secrets`. Libraries log warnings only; the framework also logs what it
    does with jobs, but never its debug records: they hold what callers say. `add_fields` may add
    fields to a record, and returns True.
    """
    output = stream or sys.stderr
    handler = _Handler(output)
    handler.addFilter(_separate_traceback)
    handler.addFilter(add_fields)
    handler.addFilter(_Seldom())
    if settings.level != "debug":
        handler.addFilter(lambda record: not _is_harmless(record))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _select_fields,
                _add_timestamp,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_rendering(settings, secrets, is_terminal=output.isatty()),
            ],
        )
    )
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    logging.getLogger("agent").setLevel(level)
    logging.getLogger("livekit.agents").setLevel(max(level, logging.INFO))


def _rendering(
    settings: LogSettings, secrets: Collection[str], *, is_terminal: bool
) -> list[Processor]:
    """From fields to a line: exceptions become text before both are redacted."""
    console = settings.format == "console" or (settings.format == "auto" and is_terminal)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            # Also through a pipe to a parent that has a terminal (https://force-color.org).
            colors=is_terminal or bool(os.environ.get("FORCE_COLOR")),
            exception_formatter=structlog.dev.plain_traceback,
        )
        if console
        else structlog.processors.JSONRenderer(json.dumps, default=repr)
    )
    redact = without_secrets(secrets)
    masking: list[Processor] = [_mask] if settings.redact else []
    return [
        structlog.processors.format_exc_info,
        *masking,
        renderer,
        lambda _logger, _method, line: redact(str(line)),
    ]


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return mask_fields(event)


def _select_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A call's id is its room's name; a job's records have the room."""
    for name in [name for name in event if name in _NOISE or name.startswith(_SPOKEN)]:
        del event[name]
    if room := event.pop("room", None):
        event.setdefault("call_id", room)
    return event


def _add_timestamp(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """When the record was made, in its own process: ISO 8601, UTC."""
    record: logging.LogRecord = event["_record"]
    moment = datetime.fromtimestamp(record.created, UTC)
    event["timestamp"] = moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return event


def _is_harmless(record: logging.LogRecord) -> bool:
    patterns = [pattern for name, pattern in _HARMLESS if record.name == name]
    if not patterns:
        return False
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # _Handler logs that it cannot be rendered
        return False
    return any(pattern.search(text) for pattern in patterns)


def _separate_traceback(record: logging.LogRecord) -> bool:
    """A record from a job's process has its traceback at the end of its message as well."""
    if record.exc_text and not record.exc_info:
        record.exception = record.exc_text
        record.msg = str(record.msg).replace(record.exc_text, "").rstrip()
        record.exc_text = None
    return True


class _Seldom(logging.Filter):
    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.msg not in _SELDOM:
            return True
        now, said_at = time.monotonic(), self._said_at.get(record.msg)
        if said_at is not None and now - said_at < _SELDOM_INTERVAL:
            return False
        self._said_at[record.msg] = now
        return True


class _Handler(logging.StreamHandler[TextIO]):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging names it
        """Log that a record cannot be rendered; logging itself would print it raw."""
        error = sys.exception()
        if not isinstance(error, OSError):  # else there is no stream to write to
            fields = {"library": record.name, "error": repr(error)}
            logger.error("log.record_invalid", extra=fields)
