"""Child processes: their output is read by thread, their end is seen, nothing survives `stop()`."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from gateway.errors import GatewayError

#: How long a child may take to end by itself before it is killed, in s.
STOP_LIMIT = 8.0
KEPT_LINES = 200


class ProcessFailed(GatewayError):
    """A child ended or kept silent when it should not have; the text has its last lines."""


class Process:
    """One process in a session of its own, so that a terminal's Ctrl-C reaches only its parent."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        on_line: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.name = name
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._on_line = on_line
        self._changed = threading.Condition()
        self._closed = False
        self._process = subprocess.Popen(  # noqa: S603 - commands are ours
            command,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"read {name}")
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lines(self) -> list[str]:
        """The last lines it wrote."""
        with self._changed:
            return list(self._lines)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it is there; below zero, the signal that ended it."""
        return self._process.poll()

    def wait_for(self, text: str, *, limit: float) -> str:
        """Block until a line contains `text`, at most `limit` s; that line. Raises ChildFailed."""

        def said() -> str | None:
            return next((line for line in self._lines if text in line), None)

        with self._changed:
            self._changed.wait_for(lambda: said() or self._closed, timeout=limit)
            line = said()
        if line is None:
            what = f"did not say {text!r} within {limit:g} s" if self.is_alive else "ended"
            raise self.failed(what)
        return line

    def check(self) -> None:
        """Raises ChildFailed if it is no longer there."""
        if not self.is_alive:
            raise self.failed(f"ended with exit code {self._process.returncode}")

    def stop(self) -> None:
        """End it, by force if it takes too long, and all that it started."""
        if self.is_alive:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_LIMIT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(STOP_LIMIT)

    def kill(self) -> None:
        """As `kill -9`; what it started stays until `stop()`."""
        self._process.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - it was asked for above
        with self._process.stdout as output:
            for raw in output:
                line = raw.rstrip()
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
                self._on_line(line)
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def failed(self, what: str) -> ProcessFailed:
        """An error that says `what` it did, and what it wrote last."""
        last = [line for line in self.lines if line][-12:]
        return ProcessFailed("\n".join([f"{self.name} {what}", *(f"  {line}" for line in last)]))


def python(*words: str) -> list[str]:
    """A command that runs this very Python."""
    return [sys.executable, *words]
