"""Child processes: a thread reads their output, and `stop()` ends them and all their children."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from gateway.errors import GatewayError

#: How long a process may take to end after SIGTERM before it is killed, in s.
STOP_TIMEOUT = 8.0
#: How many of the last lines are stored, and how many of these an error quotes.
STORED_LINES = 200
QUOTED_LINES = 12


class ProcessFailed(GatewayError):
    """A process ended, or did not do what it should in time; the text quotes its last lines."""


class Process:
    """One process in a session of its own: Ctrl-C in a terminal reaches its parent only."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        cwd: str | None = None,
        on_line: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Start `command` in the folder `cwd`; a thread calls `on_line` with each line it writes.

        `name` is for errors. Raises OSError.
        """
        self.name = name
        self._lines: deque[str] = deque(maxlen=STORED_LINES)
        self._on_line = on_line
        self._changed = threading.Condition()
        self._is_closed = False
        self._process = self._spawn(command, env, cwd)
        self._reader = threading.Thread(target=self._read, daemon=True, name=f"read {name}")
        self._reader.start()

    def _spawn(
        self, command: Sequence[str], env: Mapping[str, str], cwd: str | None
    ) -> subprocess.Popen[str]:
        """Start the process in a session of its own, with a pipe for its output."""
        return subprocess.Popen(  # noqa: S603 - callers pass commands of this project
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def lines(self) -> list[str]:
        """The last lines that the process wrote."""
        with self._changed:
            return list(self._lines)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while the process runs; negative, the signal that ended it."""
        return self._process.poll()

    def wait_for(self, text: str, *, limit: float) -> str:
        """Block until the process has written a line with `text`; returns that line.

        Raises ProcessFailed after `limit` s, or when the process ends.
        """

        def matching_line() -> str | None:
            return next((line for line in self._lines if text in line), None)

        with self._changed:
            self._changed.wait_for(lambda: matching_line() or self._is_closed, timeout=limit)
            line = matching_line()
        if line is None:
            problem = f"did not write {text!r} within {limit:g} s" if self.is_alive else "ended"
            raise self.failed(problem)
        return line

    def wait(self, *, timeout: float) -> None:
        """Block until the process has ended with exit code 0.

        Raises ProcessFailed after `timeout` s, or for another exit code.
        """
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise self.failed(f"did not end within {timeout:g} s") from error
        self._reader.join(STOP_TIMEOUT)
        if self._process.returncode != 0:
            self.check()

    def check(self) -> None:
        """Raises ProcessFailed if the process has ended."""
        if not self.is_alive:
            raise self.failed(f"ended with exit code {self._process.returncode}")

    def stop(self) -> None:
        """End the process with SIGTERM, after STOP_TIMEOUT with SIGKILL, and kill its children."""
        if self.is_alive:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(STOP_TIMEOUT)

    def kill(self) -> None:
        """As `kill -9`; the children of the process live until `stop()`."""
        self._process.kill()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, see __init__
        with self._process.stdout as output:
            for raw in output:
                line = raw.rstrip()
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
                self._on_line(line)
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def failed(self, problem: str) -> ProcessFailed:
        """An error that states the `problem` and quotes the last lines."""
        last = [line for line in self.lines if line][-QUOTED_LINES:]
        return ProcessFailed("\n".join([f"{self.name} {problem}", *(f"  {line}" for line in last)]))


def python(*words: str) -> list[str]:
    """A command that runs the Python interpreter of this process."""
    return [sys.executable, *words]
