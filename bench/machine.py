"""The machine and the versions that figures are of."""

import os
import platform
import re
import shutil
import subprocess
from pathlib import Path


def machine() -> str:
    """One line, to be published with the figures."""
    cores = len(os.sched_getaffinity(0))
    parts = [
        f"{cores} cores of {_cpu()}",
        f"Linux {platform.release()}",
        f"Python {platform.python_version()}",
    ]
    if shutil.which("node"):
        parts.append(f"Node {_output('node', '--version').removeprefix('v')}")
    if commit := _output("git", "describe", "--always", "--dirty"):
        parts.append(f"commit {commit}")
    load = os.getloadavg()[0]
    return ", ".join(parts) + f"; load before: {load:.1f}"


def _cpu() -> str:
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return match[1] if match else platform.machine()


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
