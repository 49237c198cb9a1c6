"""Logs: event names with fields, one JSON object a line, or colours on a terminal."""

import asyncio
import json
import logging
import sys
from typing import TextIO

import structlog

from gateway.settings import ServerSettings

#: How long a line may wait for others to be written with it, in s.
BATCH = 0.05


def configure_logs(settings: ServerSettings) -> "BatchedOutput":
    """Set up structlog, and pass what libraries log through the same renderer.

    Whoever calls it lets the output `write_now` at the end.
    """
    console = settings.log_format == "console" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer()]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_json)]
    )
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
