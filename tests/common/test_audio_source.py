import asyncio
import sys

import pytest

#: How long the program may take, in s: on an idle machine it takes one.
LIMIT = 60.0


@pytest.mark.server
async def test_a_source_with_audio_in_its_queue_is_closed_and_its_process_goes_on() -> None:
    """In a process of its own, which nothing but SIGKILL ends otherwise."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.common.audio_sources"
    )
    try:
        async with asyncio.timeout(LIMIT):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
