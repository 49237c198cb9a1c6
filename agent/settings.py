"""The worker's settings. The only module of the agent that reads os.environ."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from dotenv import load_dotenv

from agent.logs import Format

LOG_LEVELS = ("debug", "info", "warning", "error")
#: In the home folder, where no other user can place a report.
SPOOL = ".cache/jambonz-livekit-gateway/reports"


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`load_threshold`: CPU share (0 to 1) above which the worker takes no job; `inf`: never.

    `spool`: the folder of the reports that the gateway has not accepted yet.
    """

    agent_name: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    http_host: str
    http_port: int
    load_threshold: float
    idle_processes: int
    spool: Path
    log_level: str = "info"
    log_format: Format = "auto"


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
        log_level=_one_of(env, "GATEWAY__LOGGING__LEVEL", LOG_LEVELS, "info"),
        log_format=_one_of(env, "GATEWAY__LOGGING__FORMAT", get_args(Format), "auto"),
    )


def _one_of(env: Mapping[str, str], name: str, allowed: Sequence[str], default: str) -> Any:
    value = env.get(name) or default
    if value not in allowed:
        raise ValueError(f"{name} must be one of: {', '.join(allowed)}")
    return value
