"""An agent whose call failed, while LiveKit does not answer."""

import asyncio
from typing import Any, cast

import pytest

from agent import call


class Job:
    def delete_room(self) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().create_future()


async def test_the_job_ends_although_livekit_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(call, "DELETE_TIMEOUT", 0.01)
    async with asyncio.timeout(10):
        await call._delete_room(cast(Any, Job()))
    assert "room.delete_failed" in caplog.text
