"""An agent whose call fails: the caller comes first, then the report."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent import call
from agent.conversation import OnReady
from agent.diagnostic import Diagnostic
from agent.ending import Ending, Reason
from agent.spool import Spool
from tests.agent.test_shared_json import Gateway
from tests.agent.worker_settings import settings_for
from tests.fakes.agent_room import Room


class Job:
    """A job's context whose room LiveKit deletes at once, or never."""

    def __init__(self, report_url: str = "", *, livekit_answers: bool = True) -> None:
        metadata = json.dumps({"gateway": {"report_url": report_url}})
        self.job = SimpleNamespace(
            id="AJ_1", agent_name="agent", room=SimpleNamespace(name="call-1"), metadata=metadata
        )
        self.room = Room()
        self.proc = SimpleNamespace(userdata={})
        self.shut_down_by: list[str] = []
        self.deleted = asyncio.Event()
        self._answers = livekit_answers

    def delete_room(self) -> "asyncio.Future[Any]":
        self.deleted.set()
        future = asyncio.get_running_loop().create_future()
        if self._answers:
            future.set_result(None)
        return future

    def shutdown(self, reason: str) -> None:
        self.shut_down_by.append(reason)


class Failing(Diagnostic):
    async def talk(self, on_ready: OnReady) -> Ending:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_fail())
        return Ending("never")


@dataclass
class Ended(Diagnostic):
    reason: Reason = field(default="", kw_only=True)

    async def talk(self, on_ready: OnReady) -> Ending:
        self.record.said("agent", "Goodbye.")
        return Ending("over", self.reason)


async def _fail() -> None:
    raise RuntimeError("no more words")


@pytest.fixture(autouse=True)
def joined(monkeypatch: pytest.MonkeyPatch) -> None:
    async def join(ctx: object) -> None:
        """The job is in its room."""

    monkeypatch.setattr(call, "join", cast(Callable[[Any], Awaitable[None]], join))


async def test_the_job_ends_although_livekit_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(call, "DELETE_TIMEOUT", 0.01)
    async with asyncio.timeout(10):
        await call._delete_room(cast(Any, Job(livekit_answers=False)))
    assert "room.delete_failed" in caplog.text


@pytest.mark.field("G2")
async def test_the_room_is_deleted_while_the_gateway_is_away(tmp_path: Path) -> None:
    gateway = Gateway(*[503] * 100)
    async with gateway.serving() as url:
        job = Job(url)
        running = asyncio.create_task(
            call.run_call(cast(Any, job), settings_for(tmp_path), Failing)
        )
        await asyncio.wait_for(job.deleted.wait(), 10)
        assert not running.done(), "the report is still tried"
        assert list(Spool(tmp_path).stored()) == []
        running.cancel()
        await asyncio.wait({running}, timeout=10)
    (report,) = Spool(tmp_path).stored()
    content = json.loads(report.body)
    assert (content["event"], content["detail"]) == ("agent_failed", "RuntimeError: no more words")


@pytest.mark.field("G2")
async def test_a_gateway_that_answers_knows_why_the_room_is_deleted(tmp_path: Path) -> None:
    gateway = Gateway(204)
    async with gateway.serving() as url, asyncio.timeout(10):
        job = Job(url)
        with pytest.raises(ExceptionGroup):
            await call.run_call(cast(Any, job), settings_for(tmp_path), Failing)
    assert job.deleted.is_set()
    (report,) = gateway.reports
    assert report.detail == "RuntimeError: no more words"


@pytest.mark.parametrize(("reason", "hangs_up"), [("agent_hangup", True), ("", False)])
async def test_an_agent_that_ends_the_call_reports_why_and_hangs_up(
    tmp_path: Path, reason: Reason, hangs_up: bool
) -> None:
    """The final report follows at the job's end."""
    gateway = Gateway(204, 204)
    async with gateway.serving() as url, asyncio.timeout(10):
        job: Any = Job(url)
        await call.run_call(job, settings_for(tmp_path), partial(Ended, reason=reason))
        assert job.deleted.is_set() is hangs_up
        assert job.shut_down_by == ["over"]
        await call.finish_call(job)
        await call.finish_call(job)
    ended, report = gateway.reports
    assert (ended.kind, ended.detail, ended.report) == ("agent_ended", "over", None)
    assert report.kind == "agent_report"
    assert report.report["transcript"][0]["text"] == "Goodbye."
