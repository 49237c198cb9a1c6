"""Log lines wait for each other, but not for long and never to be lost."""

import asyncio
import io
import subprocess
import sys

import pytest

from gateway.logs import BATCH, BatchedOutput


async def test_lines_are_written_together_within_the_batch_time() -> None:
    stream = io.StringIO()
    output = BatchedOutput(stream)
    output.info("one")
    output.info("two")
    assert stream.getvalue() == ""
    await asyncio.sleep(2 * BATCH)
    assert stream.getvalue() == "one\ntwo\n"


async def test_a_warning_is_written_at_once_behind_what_came_before() -> None:
    stream = io.StringIO()
    output = BatchedOutput(stream)
    output.info("one")
    output.warning("two")
    assert stream.getvalue() == "one\ntwo\n"


def test_outside_a_loop_lines_are_written_at_once() -> None:
    stream = io.StringIO()
    BatchedOutput(stream).info("one")
    assert stream.getvalue() == "one\n"


async def test_what_waits_at_the_end_is_written() -> None:
    stream = io.StringIO()
    output = BatchedOutput(stream)
    output.info("last")
    output.write_now()
    output.write_now()
    assert stream.getvalue() == "last\n"


LIBRARIES = """
import logging, structlog
from gateway.logs import configure_logs
from gateway.config.settings import LoggingSettings
output = configure_logs(LoggingSettings(format={form!r}), ["the-secret"])
logging.getLogger("aiohttp.server").error("%s said %s", "+15550100", "the-secret")
try:
    raise ValueError("no +15550100 with the-secret") from KeyError("the-secret")
except ValueError:
    logging.getLogger("asyncio").exception("Task exception was never retrieved")
    structlog.get_logger().exception("request.failed", headers={{"X-API-Key": "the-secret"}})
output.write_now()
"""


@pytest.mark.server
@pytest.mark.parametrize("form", ["json", "console"])
def test_what_libraries_log_and_exceptions_say_is_looked_at_too(form: str) -> None:
    """In a process of its own: what is set up here is for the whole process."""
    script = LIBRARIES.format(form=form)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "[number] said [secret]" in done.stderr
    assert done.stderr.count("no [number] with [secret]") >= 2
    assert done.stderr.count("Traceback") >= 2
    assert "15550100" not in done.stderr
    assert "the-secret" not in done.stderr
    assert "X-API-Key" in done.stderr
