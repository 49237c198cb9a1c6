"""The `livekit-server` program: the one on PATH, or one built with Go and cached."""

import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.errors import GatewayError
from gateway.tools.dev.processes import Process, ProcessFailed
from gateway.tools.terminal import Progress

MODULE = Path(__file__).parent / "livekit-server"
COMMAND = "github.com/livekit/livekit-server/cmd/server"
#: How long one Go command may take, in s: a first build downloads and compiles 800 packages.
GO_TIMEOUT = 1200.0
#: With `go list`: the import path of each package that is still to be compiled.
_TO_COMPILE = "{{if .Stale}}{{.ImportPath}}{{end}}"

WAYS_TO_GET_LIVEKIT = """\
there is no LiveKit to use; do one of these:
  1. set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET in .env.local, for LiveKit Cloud or a
     LiveKit server that you run
  2. put `livekit-server` on PATH: https://github.com/livekit/livekit/releases
  3. install Go 1.26 or newer: the same command then builds livekit-server, once"""


class NoLiveKit(GatewayError):
    """There is no livekit-server and none can be built; the text says what to do."""


def find_or_build() -> Path:
    """The program on PATH, in the cache, or built now: then standard error shows the progress.

    Raises NoLiveKit.
    """
    on_path = shutil.which("livekit-server")
    if on_path:
        return Path(on_path)
    cached = _cache() / f"livekit-server-{_fingerprint()}"
    if not cached.is_file():
        if not shutil.which("go"):
            raise NoLiveKit(WAYS_TO_GET_LIVEKIT)
        _build(cached)
    return cached


def _build(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for name in ("go.mod", "go.sum"):
            shutil.copy(MODULE / name, folder)
        try:
            with Progress("building livekit-server with Go, once") as progress:
                _compile(folder, progress)
        except ProcessFailed as error:
            raise NoLiveKit(f"{error}\n{WAYS_TO_GET_LIVEKIT}") from error
        # Renamed into place: a build that runs at the same time never sees half a file.
        os.replace(f"{folder}/livekit-server", target)


def _compile(folder: str, progress: Progress) -> None:
    """Build `livekit-server` in `folder`. Raises ProcessFailed."""
    packages: list[str] = []

    def on_listed(line: str) -> None:
        if line.startswith("go: downloading "):
            progress.update(line.removeprefix("go: "))
        elif line:
            packages.append(line)

    _go(["list", "-deps", "-f", _TO_COMPILE, COMMAND], folder, on_listed)
    numbers = itertools.count(1)

    def on_compiled(line: str) -> None:
        progress.update(f"package {next(numbers)} of {len(packages)}: {line}")

    _go(["build", "-v", "-o", "livekit-server", COMMAND], folder, on_compiled)


def _go(words: list[str], folder: str, on_line: Callable[[str], object]) -> None:
    process = Process(f"go {words[0]}", ["go", *words], os.environ, cwd=folder, on_line=on_line)
    try:
        process.wait(timeout=GO_TIMEOUT)
    finally:
        process.stop()


def _fingerprint() -> str:
    return hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]


def _cache() -> Path:
    return Path.home() / ".cache" / "jambonz-livekit-gateway"
