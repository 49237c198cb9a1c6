"""The shipped systemd unit."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gateway.config.loader import build_config

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "gateway@.service"


@pytest.mark.server
def test_systemd_accepts_the_shipped_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    copy = tmp_path / "gateway@8000.service"
    copy.write_text(UNIT.read_text())
    process = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (process.returncode, process.stderr) == (0, "")


def test_the_settings_in_the_unit_are_valid() -> None:
    env = dict(re.findall(r"\b(GATEWAY__\w+)=(\S+)", UNIT.read_text()))
    config = build_config({}, env)
    assert config.server.drain_delay > 4
    assert config.logging.format == "json"
