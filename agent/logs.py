"""The worker's logs in the gateway's format: an event name with fields, JSON or text.

It holds for the worker's own records, the framework's, and those of jobs, which the framework
passes on from each job's process with the job's id and room.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

Format = Literal["auto", "json", "console"]

#: Fields that the framework adds to each record and that say nothing here.
_NOISE = frozenset({"pid", "tid", "room_id"})


def configure_logs(level: str, log_format: Format, stream: TextIO | None = None) -> None:
    """Log to `stream` (stderr), in place of whatever was configured. `level` in lower case."""
    output = stream or sys.stderr
    is_terminal = output.isatty()
    console = log_format == "console" or (log_format == "auto" and is_terminal)
    renderer = (
        structlog.dev.ConsoleRenderer(
            colors=is_terminal, exception_formatter=structlog.dev.plain_traceback
        )
        if console
        else structlog.processors.JSONRenderer(default=repr)
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                _add_call_id,
                _add_timestamp,
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    handler.addFilter(_separate_traceback)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)


def _add_call_id(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A call's id is its room's name; a job's records have the room."""
    for name in _NOISE & event.keys():
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


def _separate_traceback(record: logging.LogRecord) -> bool:
    """A record from a job's process has its traceback at the end of its message as well."""
    if record.exc_text and not record.exc_info:
        record.exception = record.exc_text
        record.msg = str(record.msg).replace(record.exc_text, "").rstrip()
        record.exc_text = None
    return True
