"""The worker is ready once a call would find a warm process; systemd and others learn it."""

import asyncio
import importlib
import logging
import math
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from agent.health import health_endpoint
from agent.pipeline import DiagnosticPipeline
from agent.systemd import notify_ready
from tests.agent.test_settings import LIVEKIT
from tests.ports import free_port

pytestmark = pytest.mark.field("G4")


class Pool:
    """The framework's processes: how many are warm, and how many it wants."""

    def __init__(self) -> None:
        self._warmed_proc_queue: asyncio.Queue[None] = asyncio.Queue()
        self._default_num_idle_processes = 2
        self.target_idle_processes = 2
        self.processes: list[Any] = []

    def set_target_idle_processes(self, number: int) -> None:
        self.target_idle_processes = number


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in LIVEKIT.items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module("agent.worker")
    monkeypatch.setattr(module, "CHECK_INTERVAL", 0.01)
    worker = module.Worker(module.settings, DiagnosticPipeline())
    worker._proc_pool = Pool()
    worker._connecting = False
    return worker


class Executor:
    """The framework's process of a job."""


class Idle:
    """IdleProcesses that wants what there is; `looks` counts how often it was asked."""

    def __init__(self) -> None:
        self.looks = 0

    def wanted(self, now: float) -> int:
        self.looks += 1
        return 2


async def test_it_is_ready_when_it_is_registered_and_a_process_is_warm(
    worker: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "agent.worker")
    worker._idle = idle = Idle()
    keeping = asyncio.create_task(worker._keep_idle())
    assert worker.problem() == "not registered at LiveKit"
    worker._on_registered()
    async with asyncio.timeout(10):
        while idle.looks < 3:
            await asyncio.sleep(0.01)
    assert worker.problem() == "no process is warm"
    assert "worker.ready" not in caplog.text
    worker._proc_pool._warmed_proc_queue.put_nowait(None)
    async with asyncio.timeout(10):
        while "worker.ready" not in caplog.text:
            await asyncio.sleep(0.01)
    assert worker.problem() == ""
    keeping.cancel()


def test_it_is_not_well_while_livekit_is_away_or_it_stops(worker: Any) -> None:
    worker._on_registered()
    worker._warm_at = math.inf
    assert worker.problem() == ""
    worker._connecting = True
    assert worker.problem() == "not registered at LiveKit"
    worker._connecting, worker._draining = False, True
    assert worker.problem() == "stopping"


async def test_a_worker_whose_cpu_is_busy_is_well(worker: Any) -> None:
    """The framework keeps no idle process then; the worker must not be restarted for it."""
    worker._on_registered()
    worker._proc_pool.target_idle_processes = 0
    worker._idle = Idle()
    keeping = asyncio.create_task(worker._keep_idle())
    async with asyncio.timeout(10):
        while worker.problem():
            await asyncio.sleep(0.01)
    keeping.cancel()


def test_the_third_of_three_calls_at_once_is_taken(worker: Any) -> None:
    """Also while none of them has begun; the framework's own guess would refuse it."""
    worker._settings = replace(worker._settings, max_calls=3)
    worker._proc_pool.processes, worker._devmode = [], False
    worker._reserved_slots = 2
    assert worker._is_available()
    worker._reserved_slots = 3
    assert not worker._is_available()


def test_a_call_counts_once_while_it_begins(worker: Any) -> None:
    executor = Executor()
    worker._proc_pool.processes = [executor, Executor()]
    worker._reserved_slots = 1
    assert worker._calls() == 1
    worker._on_launched(executor)
    worker._reserved_slots = 0
    assert worker._calls() == 1
    worker._proc_pool.processes = []
    assert worker._calls() == 0


@pytest.mark.field("G5")
async def test_idle_processes_follow_the_load(worker: Any) -> None:
    worker._idle = SimpleNamespace(wanted=lambda _: 8)
    keeping = asyncio.create_task(worker._keep_idle())
    async with asyncio.timeout(10):
        while worker._proc_pool.target_idle_processes != 8:
            await asyncio.sleep(0.01)
    assert worker._proc_pool._default_num_idle_processes == worker._num_idle_processes == 8
    keeping.cancel()


async def test_the_endpoint_says_why_it_is_not_healthy() -> None:
    problem, port = "no process is warm", free_port()
    url = f"http://127.0.0.1:{port}"
    facts = {"agent_name": "agent"}
    async with (
        health_endpoint("127.0.0.1", port, lambda: problem, lambda: facts, bytes),
        aiohttp.ClientSession() as session,
    ):
        async with session.get(url) as response:
            assert (response.status, await response.text()) == (503, problem)
        problem = ""
        async with session.get(url) as response:
            assert response.status == 200
        async with session.get(f"{url}/worker") as response:
            assert await response.json() == facts


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told(
    is_abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"@notify-{free_port()}" if is_abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(name.replace("@", "\0", 1))
        systemd.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        notify_ready()
        assert systemd.recv(100) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify_ready()


def test_records_of_a_job_in_a_thread_name_its_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in LIVEKIT.items():
        monkeypatch.setenv(name, value)
    module = importlib.import_module("agent.worker")
    job = SimpleNamespace(id="AJ_1", room=SimpleNamespace(name="call-1"))
    for context, fields in ((SimpleNamespace(job=job), ("AJ_1", "call-1")), (None, (None, None))):
        monkeypatch.setattr(module, "get_job_context", lambda required, found=context: found)
        record = logging.makeLogRecord({"msg": "caller.answered"})
        assert module._add_job(record)
        assert (vars(record).get("job_id"), vars(record).get("room")) == fields


@pytest.mark.server
def test_the_line_test_imports_nothing_of_conversations() -> None:
    """It would take memory in every process."""
    listing = "import agent.worker, sys; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", listing],
        env={**os.environ, **LIVEKIT, "GATEWAY__AGENT__PIPELINE": "diagnostic"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()
    unwanted = ("agent.voice.conversation", "agent.voice.models", "livekit.plugins")
    assert "agent.diagnostic" in modules
    assert not [name for name in modules if name.startswith(unwanted)]


@pytest.mark.server
def test_without_models_the_worker_does_not_start_and_says_what_it_needs(tmp_path: Path) -> None:
    env = {
        **{name: value for name, value in os.environ.items() if "OPENAI" not in name},
        **LIVEKIT,
        "GATEWAY__AGENT__PIPELINE": "voice",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    agent = subprocess.run(
        [sys.executable, "-m", "agent"],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert agent.returncode == 1
    assert "OPENAI_API_KEY" in agent.stderr
    assert "LIVEKIT_INFERENCE_API_KEY" in agent.stderr
