"""`python -m tests.chaos.gateway_process serve`: a gateway on the machine in CHAOS_MACHINE.

Its name server is the one at CHAOS_NAME_SERVER.
"""

import errno
import os
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from tests.chaos.machine import Machine


class LogOnDisk:
    """A stream that cannot be written while the machine's disk is full."""

    def __init__(self, stream: TextIO, machine: Machine) -> None:
        self._stream = stream
        self._machine = machine

    def write(self, text: str) -> int:
        if self._machine.disk_is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def set_up(machine: Machine) -> None:
    """Give this process the machine's clock and disk, before anything of the gateway is loaded."""
    system_time = time.time_ns
    time.time_ns = lambda: system_time() + machine.clock_step
    time.time = lambda: time.time_ns() / 1e9
    sys.stderr = LogOnDisk(sys.stderr, machine)


def main() -> int:
    set_up(Machine(Path(os.environ["CHAOS_MACHINE"])))
    from common import resolver  # noqa: PLC0415 - after set_up()
    from gateway.cli import main as run  # noqa: PLC0415 - after set_up()

    resolver.NAME_SERVERS = [os.environ["CHAOS_NAME_SERVER"]]
    return run()


if __name__ == "__main__":
    sys.exit(main())
