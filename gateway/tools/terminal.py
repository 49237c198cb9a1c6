"""Text for a terminal: wrapped lines, tables, and the progress of a long task."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from itertools import zip_longest
from textwrap import wrap
from types import TracebackType
from typing import Self, TextIO

#: Called with one or more lines to print.
Print = Callable[[str], object]

#: No line is wider, so that output can be read in a terminal and pasted into a ticket.
WIDTH = 100
_GAP = "  "
#: Moves to the first column and clears the line.
_CLEAR_LINE = "\r\x1b[K"
#: How often a terminal is redrawn, and how often a log gets a line, in s.
_REDRAW_INTERVAL = 0.2
_LOG_INTERVAL = 15.0
#: How long a task may take before `Waiting` is seen, in s.
_WAITING_DELAY = 1.0


def printable(text: str) -> str:
    """`text` with � for control characters and the like, which a name from outside may contain."""
    return "".join(char if char.isprintable() else "�" for char in text)


def wrapped(text: str, *, label: str = "", width: int = WIDTH) -> list[str]:
    """`text` in lines of at most `width`: the first after `label`, the rest indented by its length.

    Line breaks in `text` stay. Words are not broken, so that addresses and commands can be
    copied whole. What may not be printed is shown as �.
    """
    shown = "\n".join(map(printable, text.split("\n")))
    indent = " " * len(label)
    lines: list[str] = []
    for part in shown.splitlines():
        lines += wrap(
            part,
            width,
            initial_indent=indent if lines else label,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return lines


def table(rows: Sequence[Sequence[str]], widths: Sequence[int], head: Sequence[str] = ()) -> str:
    """`rows` in columns of `widths`, below `head` if there is one; one more column fills the line.

    Cells are wrapped as by `wrapped()`.
    """
    last = WIDTH - sum(widths) - len(_GAP) * len(widths)
    all_widths = [*widths, last]
    if head:
        rows = [head, ["-" * width for width in all_widths], *rows]
    lines = []
    for row in rows:
        cells = [wrapped(cell, width=width) for cell, width in zip(row, all_widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(parts, all_widths, strict=True))
            lines.append(_GAP.join(padded).rstrip())
    return "\n".join(lines)


def width_of(stream: TextIO) -> int | None:
    """The columns of a terminal; None where `stream` is a file or a pipe."""
    return shutil.get_terminal_size().columns if is_terminal(stream) else None


def has_colours(stream: TextIO) -> bool:
    """Whether to write in colours: on a terminal, unless NO_COLOR says not to (no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def is_terminal(stream: TextIO) -> bool:
    """Whether a line on `stream` can be cleared and written again."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


class Progress:
    """Shows the state of a task and the time it has taken, for as long as the context is entered.

    On a terminal that is one line which changes; elsewhere a line each 15 s.
    """

    def __init__(self, task: str, stream: TextIO | None = None) -> None:
        """`task` names what is done; `stream` is standard error by default."""
        self._task = task
        self._stream = stream or sys.stderr
        self._is_terminal = is_terminal(self._stream)
        self._state = ""
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._drawing = threading.Lock()
        self._thread = threading.Thread(target=self._repeat, daemon=True, name="progress")

    def __enter__(self) -> Self:
        if not self._is_terminal:
            self._print(f"{self._task} ...")
        self._thread.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._clear()
        if error is None:
            self._finish()

    def update(self, state: str) -> None:
        """Show `state`, such as `12 of 80`, from now on. Safe to call from any thread."""
        self._state = state

    def _repeat(self) -> None:
        interval = _REDRAW_INTERVAL if self._is_terminal else _LOG_INTERVAL
        while not self._ended.wait(interval):
            line = ", ".join(filter(None, [f"{self._task}: {self._elapsed()}", self._state]))
            if not self._is_terminal:
                self._print(line)
            elif self._is_shown():
                columns = shutil.get_terminal_size().columns
                with self._drawing:
                    self._stream.write(f"{_CLEAR_LINE}{line[: columns - 1]}")
                    self._stream.flush()

    def _is_shown(self) -> bool:
        return True

    def _clear(self) -> None:
        if self._is_terminal and self._is_shown():
            self._stream.write(_CLEAR_LINE)
            self._stream.flush()

    def _finish(self) -> None:
        self._print(f"{self._task}: done in {self._elapsed()}")

    def _elapsed(self) -> str:
        minutes, seconds = divmod(round(time.monotonic() - self._began), 60)
        return f"{minutes}:{seconds:02}"

    def _print(self, line: str) -> None:
        print(line, file=self._stream, flush=True)


class Waiting(Progress):
    """Progress of what is done in a moment, as a rule: seen after a second, gone without a trace.

    Where there is no terminal it says nothing.
    """

    def __enter__(self) -> Self:
        if self._is_terminal:
            return super().__enter__()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._is_terminal:
            super().__exit__(error_type, error, traceback)

    def print(self, text: str) -> None:
        """Print `text` to standard output, above the progress."""
        with self._drawing:
            self._clear()
            print(text, flush=True)  # noqa: T201 - it is text for standard output

    def _is_shown(self) -> bool:
        return time.monotonic() - self._began >= _WAITING_DELAY

    def _finish(self) -> None:
        """Nothing is left to say."""
