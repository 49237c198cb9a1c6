"""What `make` shows and installs, without running it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.server


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh copy, in which nothing is installed."""
    for name in ("Makefile", "constraints.txt", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def make(*words: str, cwd: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    command = ["make", "--no-print-directory", *words]
    process = subprocess.run(
        command, cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=30
    )
    return process.stdout


@pytest.mark.field("H5")
@pytest.mark.parametrize("target", ["run", "demo", "install"])
def test_what_a_newcomer_runs_installs_only_what_running_needs(target: str, checkout: Path) -> None:
    commands = make("--dry-run", target, cwd=checkout)
    assert "-e '.[agent]'" in commands
    assert "[dev]" not in commands


@pytest.mark.field("H5")
def test_pip_shows_its_progress_on_a_terminal() -> None:
    """It is quiet elsewhere only, as in a log."""
    commands = make("--dry-run", "--always-make", "install", cwd=ROOT)
    assert "if [ -t 1 ]; then quiet=; else quiet=--quiet; fi" in commands
    assert "pip install $quiet" in commands


@pytest.mark.field("H7")
def test_help_lists_every_target_that_has_a_description() -> None:
    described = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert "test-n8n" in described
    listed = re.findall(r"^  make (\S+)", make("help", cwd=ROOT), re.MULTILINE)
    assert listed == described
