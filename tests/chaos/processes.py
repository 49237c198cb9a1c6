"""The processes of a run: gateways and a Redis that are killed or stopped, and started again."""

import asyncio
import json
import os
import random
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import psutil
from redis.asyncio import Redis as Client

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import READY_LIMIT, wait_until_up
from tests.conftest import skip_unless_ci
from tests.ports import free_port

#: How long the load balancer sends requests to a gateway that was killed, in s.
NOTICED_AFTER = 0.3


class Gateway:
    """Processes that follow one another on one port.

    `defects` are the lines of their logs that tell of an unexpected exception.
    """

    def __init__(self, name: str, env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._port = free_port()
        self._env = {**env, "PORT": str(self._port)}
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.is_up = False
        self.was_killed = False
        self._should_run = False
        self.defects: list[str] = []
        self._log = (folder / f"{name}.log").open("a", encoding="utf-8")
        self._process: Process | None = None

    async def start(self) -> None:
        """Returns once it accepts requests."""
        await asyncio.to_thread(self._start)
        self.is_up = self._should_run = True

    async def kill(self) -> None:
        """By SIGKILL."""
        assert self._process
        self._should_run = False
        os.kill(self._process.pid, signal.SIGKILL)
        self.was_killed = True
        await asyncio.sleep(NOTICED_AFTER)
        self.is_up = False
        await asyncio.to_thread(self._process.stop)

    async def stop(self) -> None:
        if self._process:
            await asyncio.to_thread(self._process.stop)
        self._log.close()

    def check(self) -> None:
        """Raises ProcessFailed if it has ended by itself."""
        if self._process and self._should_run:
            self._process.check()

    @property
    def pid(self) -> int:
        """That of the last process."""
        assert self._process
        return self._process.pid

    @property
    def memory(self) -> int:
        """Its resident set size, in bytes."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def _start(self) -> None:
        command = python("-m", "tests.chaos.gateway_process", "serve")
        self._process = Process(self.name, command, self._env, on_line=self._read)
        wait_until_up(self._process, f"{self.url}/healthz")

    def _read(self, line: str) -> None:
        self._log.write(f"{line}\n")
        if is_defect(line) and len(self.defects) < 20:
            self.defects.append(f"{self.name}: {line}")


class Gateways:
    """The gateways behind a load balancer."""

    def __init__(self) -> None:
        self.all: list[Gateway] = []

    def pick(self, rng: random.Random) -> str:
        up = [gateway for gateway in self.all if gateway.is_up] or self.all
        return rng.choice(up).url


class Redis:
    """Keeps its data in `folder` while it is stopped."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("redis-server"):
            skip_unless_ci("several gateways share a Redis: install redis-server")
        self.port = free_port()
        self.url = f"redis://{LOOPBACK}:{self.port}/0"
        self._folder = folder
        self._process: Process | None = None

    async def start(self) -> None:
        """Returns once it accepts connections."""
        await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        if self._process:
            await asyncio.to_thread(self._process.stop)

    @property
    def pid(self) -> int:
        """That of the last process."""
        assert self._process
        return self._process.pid

    async def set_memory_limit(self, limit: int) -> None:
        """In bytes, 0 for none; beyond it writes are refused."""
        await self._configure("maxmemory", limit)

    async def fail_to_save(self) -> None:
        """As on a full disk: it cannot write its file, and refuses all writes until it can."""
        (self._folder / "dump.rdb").mkdir()
        await self._configure("save", "3600 1")
        async with Client.from_url(self.url, decode_responses=True) as redis:
            await redis.bgsave()
            while (await redis.info("persistence"))["rdb_last_bgsave_status"] == "ok":
                await asyncio.sleep(0.05)

    async def save_no_more(self) -> None:
        """Writes are accepted again."""
        await self._configure("save", "")
        (self._folder / "dump.rdb").rmdir()

    async def _configure(self, name: str, value: str | int) -> None:
        async with Client.from_url(self.url) as redis:
            await redis.config_set(name, value)

    def _start(self) -> None:
        place = ("--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self._folder))
        persistence = ("--appendonly", "yes", "--save", "")
        self._process = Process("redis", ["redis-server", *place, *persistence], os.environ)
        self._process.wait_for("Ready to accept connections", limit=READY_LIMIT)


def is_defect(line: str) -> bool:
    """Whether a line of a gateway's log tells of an unexpected exception."""
    if "Traceback (most recent call last)" in line or "never retrieved" in line:
        return True
    try:
        return "exception" in json.loads(line)
    except (ValueError, TypeError):
        return False
