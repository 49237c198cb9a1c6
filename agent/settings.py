"""The worker's settings. The only module of the agent that reads settings from os.environ."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from dotenv import load_dotenv

from agent.logs import Format, Level, LogSettings

#: In the home folder, where no other user can place a report.
SPOOL = ".cache/jambonz-livekit-gateway/reports"
#: What the gateway, too, reads as false.
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})
#: How variables are named that hold secrets: those of models and voices, for instance.
_SECRET_SUFFIXES = ("_KEY", "_KEYS", "_SECRET", "_TOKEN", "_PASSWORD")
#: A shorter value of such a variable is taken for something else: it may be part of any word.
_MIN_SECRET = 8


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`load_threshold`: CPU share (0 to 1) above which the worker takes no job; `inf`: never.

    `spool`: the folder of the reports that the gateway has not accepted yet. `secrets`: what no
    line of the log may hold.
    """

    agent_name: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    http_host: str
    http_port: int
    load_threshold: float
    idle_processes: int
    spool: Path
    logging: LogSettings = field(default_factory=LogSettings)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def read_settings() -> WorkerSettings:
    """From the environment, and from .env.local for what is not set there.

    The log settings are the gateway's (`logging` in config.yaml), by environment only. Raises
    ValueError for a value that cannot be used, and for what is missing to reach LiveKit.
    """
    load_dotenv(".env.local")
    env = os.environ
    needed = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
    missing = [name for name in needed if not env.get(name)]
    if missing:
        raise ValueError(f"not set in the environment or .env.local: {', '.join(missing)}")
    return WorkerSettings(
        agent_name=env.get("LIVEKIT_AGENT_NAME") or "nehos-outbound-agent",
        api_key=env["LIVEKIT_API_KEY"],
        api_secret=env["LIVEKIT_API_SECRET"],
        http_host=env.get("AGENT_HTTP_HOST") or "127.0.0.1",
        http_port=int(env.get("AGENT_HTTP_PORT") or 8081),
        load_threshold=float(env.get("AGENT_LOAD_THRESHOLD") or 0.7),
        idle_processes=int(env.get("AGENT_IDLE_PROCESSES") or os.cpu_count() or 1),
        spool=Path(env.get("AGENT_SPOOL") or Path.home() / SPOOL),
        logging=LogSettings(
            level=_one_of(env, "GATEWAY__LOGGING__LEVEL", get_args(Level), "info"),
            format=_one_of(env, "GATEWAY__LOGGING__FORMAT", get_args(Format), "auto"),
            redact=env.get("GATEWAY__LOGGING__REDACT", "").lower() not in _FALSE,
        ),
        secrets=_secrets(env),
    )


def _one_of(env: Mapping[str, str], name: str, allowed: Sequence[str], default: str) -> Any:
    value = env.get(name) or default
    if value not in allowed:
        raise ValueError(f"{name} must be one of: {', '.join(allowed)}")
    return value


def _secrets(env: Mapping[str, str]) -> frozenset[str]:
    """The values of all variables that are named like secrets, and of lists the parts."""
    values = (value for name, value in env.items() if name.endswith(_SECRET_SUFFIXES))
    parts = {part.strip() for value in values for part in (value, *value.split(","))}
    own = {env["LIVEKIT_API_KEY"], env["LIVEKIT_API_SECRET"]}
    return frozenset(own | {part for part in parts if len(part) >= _MIN_SECRET})
