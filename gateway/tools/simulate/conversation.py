"""`simulate conversation`: a process of the agent's: gateway and agent do not import each other."""

import subprocess
from importlib.util import find_spec

from gateway.errors import ConfigError
from gateway.tools.dev.processes import python


def run(file: str, *, in_json: bool = False) -> int:
    """Returns the exit code of `python -m agent conversation`. Raises ConfigError."""
    if not (find_spec("livekit") and find_spec("livekit.agents")):
        raise ConfigError(["the package livekit-agents is missing: install the extra 'agent'"])
    options = ["--json"] if in_json else []
    command = python("-m", "agent", "conversation", *options, file)
    return subprocess.run(command, check=False).returncode  # noqa: S603
