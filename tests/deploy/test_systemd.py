"""The shipped systemd units, and the steps in docs/deployment.md that install them."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config.loader import build_config
from tests.conftest import skip_unless_ci
from tests.deploy.variables import check_environment_file

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
USED_PATHS = (
    "/opt/gateway/.venv/bin/python",
    "/etc/gateway/gateway.env",
    "/etc/gateway/config.yaml",
    "/etc/gateway/agents.yaml",
    "/etc/systemd/system/gateway@.service",
    "/etc/systemd/system/agent@.service",
)


def steps() -> str:
    """The commands in the documentation's section."""
    text = (ROOT / "docs" / "deployment.md").read_text()
    section = text.partition("## systemd")[2].partition("## nginx")[0]
    return "\n".join(re.findall(r"```bash\n(.*?)```", section, re.DOTALL))


@pytest.mark.server
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_the_shipped_unit(unit: Path, tmp_path: Path) -> None:
    copy = tmp_path / unit.name.replace("@", "@8000")
    copy.write_text(unit.read_text())
    assert systemd_analyze("verify", "--man=no", copy) == (0, "")
    # 10 is the exposure of a service that nothing keeps from anything, in tenths here.
    assert systemd_analyze("security", "--offline=true", "--threshold=18", copy) == (0, "")


def systemd_analyze(*arguments: object) -> tuple[int, str]:
    """Its exit code and errors."""
    if not shutil.which("systemd-analyze"):
        skip_unless_ci("systemd-analyze is not installed: install systemd")
    process = subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return process.returncode, process.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_settings_in_the_unit_are_valid(unit: Path) -> None:
    preset = re.findall(r"^Environment=(.*)", unit.read_text(), re.MULTILINE)
    check_environment_file(re.findall(r"(\w+)=", " ".join(preset)))
    env = dict(re.findall(r"\b(GATEWAY__\w+)=(\S+)", unit.read_text()))
    config = build_config({}, env)
    assert config.logging.format == "json"
    assert unit.name != "gateway@.service" or config.server.drain_delay > 4


@pytest.mark.field("H8")
def test_each_unit_is_installed_and_enabled_and_finds_what_it_needs() -> None:
    assert [unit.name for unit in UNITS] == ["agent@.service", "gateway@.service"]
    for unit in UNITS:
        assert f"deploy/systemd/{unit.name}" in steps()
        assert re.search(rf"systemctl enable --now .*\b{unit.stem}\d+", steps())
        names = "ExecStart=.* |EnvironmentFile=|CONFIG=|AGENTS_FILE="
        paths = re.findall(rf"(?:{names})(/\S+)", unit.read_text().replace("\\\n", ""))
        assert "/opt/gateway/.venv/bin/python" in paths
        assert set(paths) <= set(USED_PATHS)
        assert "User=gateway" in unit.read_text()


@pytest.mark.field("H8")
@pytest.mark.server
def test_the_steps_make_what_the_units_need(tmp_path: Path) -> None:
    """Followed to the letter, in a file system of their own.

    `make install` downloads for a minute, so it is replaced by a link to this environment, and
    `systemctl` by a note of its arguments.
    """
    if os.getuid() != 0 or not shutil.which("unshare") or not shutil.which("systemd-sysusers"):
        skip_unless_ci("the steps are root's: unshare and systemd-sysusers are needed")
    programs = tmp_path / "bin"
    programs.mkdir()
    _program(programs / "systemctl", f'echo "$@" >> {tmp_path}/systemctl')
    made = f"ln -s {sys.prefix} /opt/gateway/.venv"
    _program(programs / "make", f'test "$*" = "-C /opt/gateway install" && {made}')
    script = f"""
        set -eu
        mount -t tmpfs tmpfs /opt
        for folder in etc var; do
          mkdir -p {tmp_path}/$folder.upper {tmp_path}/$folder.work
          mount -t overlay overlay /$folder \\
            -o lowerdir=/$folder,upperdir={tmp_path}/$folder.upper,workdir={tmp_path}/$folder.work
        done
        cd {ROOT}
        {steps()}
        getent passwd gateway > {tmp_path}/user
        stat -L -c '%a %U %n' {" ".join(USED_PATHS[1:])} /var/lib/gateway > {tmp_path}/files
        test -x {USED_PATHS[0]}
        su gateway -s /bin/sh -c 'test -r /etc/gateway/config.yaml -a -r /opt/gateway/common'
        su gateway -s /bin/sh -c '! test -r /etc/gateway/gateway.env'
    """
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    process = subprocess.run(
        ["unshare", "--mount", "bash", "-c", script],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if "mount" in process.stderr and "denied" in process.stderr:
        skip_unless_ci("a file system of its own needs the right to mount")
    assert process.returncode == 0, process.stderr
    assert ":/var/lib/gateway:" in (tmp_path / "user").read_text()
    files = (tmp_path / "files").read_text().splitlines()
    assert files[0] == "600 root /etc/gateway/gateway.env"
    assert files[-1] == "700 gateway /var/lib/gateway"
    assert (tmp_path / "systemctl").read_text().splitlines() == [
        "daemon-reload",
        "enable --now gateway@8000 agent@8081",
    ]


def _program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
