"""A sign of life of each job, which the worker reads: one small file a job, and no locks."""

import contextlib
import os
import struct
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

#: Names the folder to the processes of the jobs, which inherit the environment.
_FOLDER = "_AGENT_HEARTBEATS"
#: When the sign was given, and since when the caller waits for the agent (_NONE: they do not); in s
#: of the machine's monotonic clock, which all its processes share.
_FORM = struct.Struct("<dd")
_NONE = -1.0


@dataclass(frozen=True, slots=True)
class Beat:
    """`at`: when the job ran last. `mute_since`: since when the agent should have been heard."""

    at: float
    mute_since: float | None


@contextlib.contextmanager
def heartbeats() -> Iterator[None]:
    """While it is entered, jobs that start give signs of life. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="agent-heartbeats-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield
        finally:
            os.environ.pop(_FOLDER, None)


class Heartbeat:
    """Of one job. What keeps it from writing costs the signs of life, not the call."""

    def __init__(self, job_id: str) -> None:
        self._file = _file(job_id)
        self._descriptor: int | None = None
        if self._file:
            with contextlib.suppress(OSError):
                self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT, 0o600)

    def beat(self, beat: Beat) -> None:
        mute_since = _NONE if beat.mute_since is None else beat.mute_since
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self._descriptor, _FORM.pack(beat.at, mute_since), 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The conversation is over: from now on the job need not give signs."""
        if self._descriptor is not None and self._file:
            os.close(self._descriptor)
            self._descriptor = None
            self._file.unlink(missing_ok=True)


def read_beat(job_id: str) -> Beat | None:
    """The last sign; None before the first, and after the conversation."""
    try:
        file = _file(job_id)
        at, mute_since = _FORM.unpack(file.read_bytes() if file else b"")
    except (OSError, struct.error):
        return None
    return Beat(at, None if mute_since == _NONE else mute_since)


def forget_beat(job_id: str) -> None:
    """Of a job whose process has died, which leaves its last sign behind."""
    if file := _file(job_id):
        file.unlink(missing_ok=True)


def _file(job_id: str) -> Path | None:
    folder = os.environ.get(_FOLDER)
    return Path(folder, job_id) if folder else None
