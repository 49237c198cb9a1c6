"""The real parts: gateways and a Redis as child processes, killed, stopped, started again."""

import asyncio
import json
import os
import random
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path

import psutil

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import READY_LIMIT, wait_until_up
from tests.conftest import skip_unless_ci
from tests.ports import free_port

#: How long a balancer goes on sending requests to a gateway that is gone, in s.
NOTICED_AFTER = 0.3


class Gateway:
    """One process after the other on the same port. `defects`: what none of them should log."""

    def __init__(self, name: str, env: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._port = free_port()
        self._env = {**env, "PORT": str(self._port)}
        self.url = f"http://{LOOPBACK}:{self._port}"
        self.is_up = False
        self.was_killed = False
        self._is_wanted = False
        self.defects: list[str] = []
        self._log = (folder / f"{name}.log").open("a", encoding="utf-8")
        self._child: Process | None = None

    async def start(self) -> None:
        """Returns once it takes requests."""
        await asyncio.to_thread(self._start)
        self.is_up = self._is_wanted = True

    async def kill(self) -> None:
        """kill -9."""
        assert self._child
        self._is_wanted = False
        os.kill(self._child.pid, signal.SIGKILL)
        self.was_killed = True
        await asyncio.sleep(NOTICED_AFTER)
        self.is_up = False
        await asyncio.to_thread(self._child.stop)

    async def stop(self) -> None:
        if self._child:
            await asyncio.to_thread(self._child.stop)
        self._log.close()

    def check(self) -> None:
        """Raises ChildFailed if it is down though nobody killed it."""
        if self._child and self._is_wanted:
            self._child.check()

    @property
    def rss(self) -> int:
        """Its memory, in bytes."""
        assert self._child
        return int(psutil.Process(self._child.pid).memory_info().rss)

    def _start(self) -> None:
        self._child = Process(
            self.name, python("-m", "gateway", "serve"), self._env, on_line=self._read
        )
        wait_until_up(self._child, f"{self.url}/healthz")

    def _read(self, line: str) -> None:
        self._log.write(f"{line}\n")
        if is_defect(line) and len(self.defects) < 20:
            self.defects.append(f"{self.name}: {line}")


class Fleet:
    """The gateways behind one address."""

    def __init__(self, gateways: list[Gateway]) -> None:
        self.gateways = gateways

    def pick(self, roll: random.Random) -> str:
        up = [gateway for gateway in self.gateways if gateway.is_up] or self.gateways
        return roll.choice(up).url


class Redis:
    """One that keeps its data over a stop, in `folder`."""

    def __init__(self, folder: Path) -> None:
        if not shutil.which("redis-server"):
            skip_unless_ci("several gateways share a Redis: install redis-server")
        self._port = free_port()
        self.url = f"redis://{LOOPBACK}:{self._port}/0"
        self._folder = folder
        self._child: Process | None = None

    async def start(self) -> None:
        await asyncio.to_thread(self._start)

    async def stop(self) -> None:
        if self._child:
            await asyncio.to_thread(self._child.stop)

    def _start(self) -> None:
        place = ("--bind", LOOPBACK, "--port", str(self._port), "--dir", str(self._folder))
        kept = ("--appendonly", "yes", "--save", "")
        self._child = Process("redis", ["redis-server", *place, *kept], os.environ)
        self._child.wait_for("Ready to accept connections", limit=READY_LIMIT)


def is_defect(line: str) -> bool:
    """Whether a log line tells of an exception that nobody expected."""
    if "Traceback (most recent call last)" in line or "never retrieved" in line:
        return True
    try:
        return "exception" in json.loads(line)
    except (ValueError, TypeError):
        return False
