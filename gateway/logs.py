"""Logs: event names with fields, one JSON object a line, or colours on a terminal."""

import asyncio
import json
import logging
import sys
from collections.abc import Collection
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from gateway.config.settings import LoggingSettings
from gateway.security.redaction import mask_fields, without_secrets

#: How long a line may wait for others to be written with it, in s.
BATCH = 0.05


def configure_logs(settings: LoggingSettings, secrets: Collection[str]) -> "BatchedOutput":
    """Set up structlog, and pass what libraries log through the same renderer.

    No line has one of `secrets`, whatever is logged. Whoever calls it lets the output `write_now`
    at the end.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last = _rendering(settings, secrets)
    output = BatchedOutput(sys.stderr)
    structlog.configure(
        processors=[*shared, *last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: output,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    remove_meta = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[remove_meta, *last]
        )
    )
    logging.basicConfig(handlers=[handler], level=max(level, logging.WARNING), force=True)
    return output


def _rendering(settings: LoggingSettings, secrets: Collection[str]) -> list[Processor]:
    """From fields to a line: exceptions become text before either is searched."""
    console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    renderer: Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if console
        else structlog.processors.JSONRenderer(_json)
    )
    hide = without_secrets(secrets)
    masking: list[Processor] = [_masked] if settings.redact else []
    return [
        structlog.processors.format_exc_info,
        *masking,
        renderer,
        lambda _logger, _method, line: hide(str(line)),
    ]


def _masked(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return mask_fields(event)


# json.dumps would make an encoder a line.
_encode = json.JSONEncoder(default=repr).encode


def _json(event: object, **_: object) -> str:
    return _encode(event)


class BatchedOutput:
    """Writes lines in batches: a write a line would be a tenth of what a call hook costs.

    Outside a running loop, and for warnings and worse, lines are written at once.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def info(self, line: str) -> None:
        self._lines.append(line)
        if self._timer is None:
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self.write_now()
            else:
                self._timer = loop.call_later(BATCH, self.write_now)

    debug = info

    def warning(self, line: str) -> None:
        self._lines.append(line)
        self.write_now()

    error = critical = exception = warning

    def write_now(self) -> None:
        """Write what waits."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._lines:
            self._stream.write("\n".join(self._lines) + "\n")
            self._stream.flush()
            self._lines.clear()
