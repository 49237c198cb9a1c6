"""Gateways as processes, forked from one that has imported their modules, which takes 0.5 s.

tests/livekit/test_dev.py and tests/test_full_disk.py start `python -m gateway serve` itself.
"""

import asyncio
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import cast

from gateway.tools.dev.processes import Process

FORKSERVER = multiprocessing.get_context("forkserver")
FORKSERVER.set_forkserver_preload(["uvloop", "gateway.server", "gateway.cli"])


class GatewayProcess(Process):
    """`python -m gateway` with `arguments`, such as `serve`."""

    def __init__(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        super().__init__(name, arguments, env)

    def _spawn(
        self, command: Sequence[str], env: Mapping[str, str], cwd: str | None
    ) -> subprocess.Popen[str]:
        return cast("subprocess.Popen[str]", Forked(command, env))

    async def ended(self) -> int:
        """Its exit code, once it has ended."""
        while (code := self.exit_code) is None:
            await asyncio.sleep(0.02)
        return code


class Forked:
    """What of `subprocess.Popen` a Process uses."""

    def __init__(self, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        reader, writer = FORKSERVER.Pipe(duplex=False)
        self._process = FORKSERVER.Process(target=_run, args=(list(arguments), dict(env), writer))
        self._process.start()
        writer.close()
        self.stdout = os.fdopen(os.dup(reader.fileno()), encoding="utf-8", errors="replace")
        reader.close()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("gateway", timeout or 0)

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _run(arguments: list[str], env: dict[str, str], output: Connection) -> None:
    """In the forked process."""
    from gateway.cli import main  # noqa: PLC0415 - imported before the fork

    os.setsid()
    for descriptor in (1, 2):
        os.dup2(output.fileno(), descriptor)
    output.close()
    os.environ.clear()
    os.environ.update(env)
    sys.exit(main(arguments))
