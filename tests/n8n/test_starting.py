"""A real n8n that starts: what it answers to a callback before its webhooks are there."""

import asyncio
import os
from pathlib import Path

import pytest

from gateway.tools.dev.processes import Process
from tests.callbacks.test_sender import opened
from tests.n8n.server import READY_LIMIT, VERSIONS, NoN8n, installed_n8n

pytestmark = [pytest.mark.timeout(300), pytest.mark.server]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", ["webhook-waiting/1", "webhook/calls"])
async def test_no_callback_is_lost_while_n8n_starts(
    version: str, path: str, tmp_path: Path
) -> None:
    """A new n8n migrates its database first, as one does after an upgrade."""
    if not os.environ.get("WITH_N8N"):
        pytest.skip("`make test-n8n` runs the tests with a real n8n")
    try:
        n8n = installed_n8n(version, tmp_path)
    except NoN8n as error:
        pytest.skip(str(error))
    process = Process("n8n", [str(n8n.binary), "start"], n8n.env)
    errors: set[str] = set()
    try:
        async with opened() as sender, asyncio.timeout(READY_LIMIT):
            while "answered 404 Not Found" not in errors:
                answer = await sender.send(f"{n8n.url}/{path}", "{}", "evt_1")
                assert not answer.is_accepted
                errors.add(answer.error)
                await asyncio.sleep(0.01)
    finally:
        await asyncio.to_thread(process.stop)
    assert "answered 200, but n8n is starting up" in errors
