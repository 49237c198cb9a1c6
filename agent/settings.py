"""The worker's settings. The only reader of os.environ in the agent."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import load_dotenv

#: In the home folder, where nobody else can put a report for us to deliver.
SPOOL = ".cache/jambonz-livekit-gateway/reports"


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`load_threshold`: CPU share (0 to 1) above which no job is taken; `inf` takes every job.

    `spool`: the folder where reports wait that the gateway has not accepted yet.
    """

    agent_name: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    http_host: str
    http_port: int
    load_threshold: float
    idle_processes: int
    spool: Path


def read_settings() -> WorkerSettings:
    """From the environment, and from .env.local for what is not set there.

    Raises ValueError for a number that is none, and for what is missing to reach LiveKit.
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
    )
