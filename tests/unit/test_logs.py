"""Log lines wait for each other, but not for long and never to be lost."""

import asyncio
import io

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
