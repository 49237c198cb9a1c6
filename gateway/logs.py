"""Logs: event names with fields, one JSON object a line, or text for people on a terminal.

The event loop only renders a line and puts it into a queue; a thread writes it.
"""

import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from logging.handlers import QueueHandler, QueueListener
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from common.redaction import mask_fields, without_secrets
from gateway.config.settings import LoggingSettings
from gateway.telemetry import tracing

log = structlog.get_logger()

#: How long a line waits for more to be written with it, in s: waking the thread for each line would
#: cost more CPU than rendering it.
BATCH_TIME = 0.05
#: Lines that may wait; more are dropped and counted, the event loop never waits for the disk.
MAX_WAITING = 10_000


@contextmanager
def logs_configured(
    settings: LoggingSettings, secrets: Collection[str], stream: TextIO | None = None
) -> Iterator[None]:
    """Log to `stream` (stderr) while in the context: by structlog, and what libraries log.

    No line holds one of `secrets`, whoever logs it. All lines are written when the context ends.
    """
    output = stream or sys.stderr
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    lines = LineHandler()
    listener = LineListener(lines, output)
    rendering = _rendering(settings, secrets, is_terminal=output.isatty())
    shared: list[Processor] = [
        tracing.add_ids,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: LineLogger(lines.enqueue),
        cache_logger_on_first_use=True,
    )
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    lines.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(allow={"lines", "error", "effect"}),
                *shared,
            ],
            processors=[remove_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[lines], level=max(level, logging.WARNING), force=True)
    listener.start()
    try:
        yield
    finally:
        listener.stop()


def _rendering(
    settings: LoggingSettings, secrets: Collection[str], *, is_terminal: bool
) -> list[Processor]:
    """From fields to a line: exceptions become text before either is searched."""
    console = settings.format == "console" or (settings.format == "auto" and is_terminal)
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(
            # Also through a pipe to a parent that has a terminal (https://force-color.org).
            colors=is_terminal or bool(os.environ.get("FORCE_COLOR")),
            exception_formatter=structlog.dev.plain_traceback,
        )
        if console
        else structlog.processors.JSONRenderer(_json)
    )
    hide = without_secrets(secrets)
    masking: list[Processor] = [_mask] if settings.redact else []
    steps: list[Processor] = [
        structlog.processors.format_exc_info,
        *masking,
        renderer,
        lambda _logger, _method, line: hide(str(line)),
    ]
    return [partial(_rendered, steps)]


def _rendered(
    steps: Sequence[Processor], logger: WrappedLogger, method: str, event: EventDict
) -> Any:
    """The line; a field that cannot be rendered fails no request."""
    name, rendered = str(event.get("event")), event
    try:
        for step in steps:
            rendered = step(logger, method, rendered)  # type: ignore[assignment]  # the line at last
    except Exception as error:
        problem = {"level": "error", "event": "log.line_invalid", "of": name}
        return _encode(problem | {"error": type(error).__name__})
    return rendered


def _mask(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return mask_fields(event)


# json.dumps would make an encoder for each line.
_encode = json.JSONEncoder(default=repr).encode


def _json(event: object, **_: object) -> str:
    return _encode(event)


class LineLogger:
    """What structlog hands its rendered lines to."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = write
        self.error = self.critical = self.exception = write


class LineHandler(QueueHandler):
    """Queues lines: structlog's, and the records of libraries once they are rendered.

    Making a LogRecord of each line, as QueueHandler does, would cost more than all the rest.
    `dropped` counts the lines that the log lacks without saying so, `lost` all that it lacks.
    """

    def __init__(self) -> None:
        self.waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.dropped = 0
        self.lost = 0
        self._counting = threading.Lock()
        super().__init__(self.waiting)

    def prepare(self, record: logging.LogRecord) -> Any:
        return self.format(record)

    def enqueue(self, record: Any) -> None:
        if self.waiting.qsize() < MAX_WAITING:
            self.waiting.put(record)
        else:
            self.count_dropped(1)

    def count_dropped(self, lines: int) -> None:
        """Add to the lines that the log lacks, or subtract those that it has reported."""
        with self._counting:
            self.dropped += lines
            self.lost += max(lines, 0)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging names it
        """Log that a library's record cannot be rendered; logging itself would print it raw."""
        log.error("log.record_invalid", library=record.name, error=repr(sys.exception()))


def lost_lines() -> int:
    """How many lines this process could not write since it started, as on a full disk."""
    return sum(
        handler.lost for handler in logging.root.handlers if isinstance(handler, LineHandler)
    )


class LineListener(QueueListener):
    """Writes the lines that wait, together."""

    def __init__(self, lines: LineHandler, stream: TextIO) -> None:
        super().__init__(lines.waiting)
        self._lines = lines
        self._stream = stream

    def handle(self, record: Any) -> None:
        """A line that cannot be written counts as dropped: a full disk does not end the thread."""
        time.sleep(BATCH_TIME)
        lines = [record, *self._waiting()]
        dropped = self._lines.dropped
        report = [self._lines.format(_lines_dropped(dropped))] if dropped else []
        try:
            self._stream.write("\n".join(lines + report) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._lines.count_dropped(len(lines))
        else:
            self._lines.count_dropped(-dropped)

    def _waiting(self) -> Iterator[str]:
        """The lines that wait; the mark of the queue's end stays in it, for the listener's loop."""
        waiting = self._lines.waiting
        for _ in range(waiting.qsize()):
            line = waiting.get()
            if not isinstance(line, str):
                waiting.put(line)
                return
            yield line


def _lines_dropped(number: int) -> logging.LogRecord:
    fields = {"msg": "log.lines_dropped", "lines": number, "name": __name__}
    return logging.makeLogRecord({**fields, "levelno": logging.ERROR, "levelname": "ERROR"})
