"""The simulated machine that gateways run on: its clock, and the disk that their logs are on.

The simulation sets them in a file, which the processes of gateways read (gateway_process.py).
"""

import mmap
import struct
from pathlib import Path

#: How far the clock was set forward, in ns; whether the disk is full.
_STATE = struct.Struct("<q?")


class Machine:
    """The state in `file`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        if not file.exists():
            file.write_bytes(bytes(_STATE.size))
        with file.open("r+b") as opened:
            self._memory = mmap.mmap(opened.fileno(), _STATE.size)

    @property
    def clock_step(self) -> int:
        """How far its clock was set forward, in ns."""
        return int(self._state[0])

    @clock_step.setter
    def clock_step(self, step: int) -> None:
        self._state = step, self.disk_is_full

    @property
    def disk_is_full(self) -> bool:
        return bool(self._state[1])

    @disk_is_full.setter
    def disk_is_full(self, is_full: bool) -> None:
        self._state = self.clock_step, is_full

    @property
    def _state(self) -> tuple[int, bool]:
        step, is_full = _STATE.unpack(self._memory)
        return step, is_full

    @_state.setter
    def _state(self, state: tuple[int, bool]) -> None:
        _STATE.pack_into(self._memory, 0, *state)
