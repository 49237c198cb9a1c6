"""What the worker shares with the gateway's settings: the agent's name and pipeline."""

from collections.abc import Mapping
from pathlib import Path

import yaml

DEFAULT_FILE = "config.yaml"
#: The settings, and the variables that override the file's; the last one wins.
VARIABLES = {
    "agent.name": ("GATEWAY__AGENT__NAME", "LIVEKIT_AGENT_NAME"),
    "agent.pipeline": ("GATEWAY__AGENT__PIPELINE",),
}


def agent_settings(env: Mapping[str, str]) -> Mapping[str, str]:
    """`agent.name` and `agent.pipeline` of config.yaml, overridden by `env`; "" if not set.

    The file is the gateway's: $GATEWAY_CONFIG, else config.yaml in the working directory if there
    is one. Raises ValueError.
    """
    path = _path(env)
    section = _section(path) if path else {}
    settings = {}
    for setting, names in VARIABLES.items():
        value = section.get(setting.removeprefix("agent."), "")
        if not isinstance(value, str):
            raise ValueError(f"{path}: {setting} must be a text")  # noqa: TRY004 - as all mistakes
        for name in names:
            value = env.get(name) or value
        settings[setting] = value.strip()
    return settings


def _path(env: Mapping[str, str]) -> Path | None:
    named = env.get("GATEWAY_CONFIG")
    path = Path(named or DEFAULT_FILE)
    if path.is_file():
        return path
    if named:
        raise ValueError(f"GATEWAY_CONFIG: {path}: there is no such configuration file")
    return None


def _section(path: Path) -> Mapping[str, str]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    section = content.get("agent") if isinstance(content, dict) else None
    return section if isinstance(section, dict) else {}
