"""The worker's settings. The only module of the agent that reads settings from os.environ."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from dotenv import load_dotenv

from agent.config_file import agent_settings
from agent.logs import Format, Level, LogSettings
from agent.profiles.model_access import ModelAccess, model_access
from common.signing import REQUIRED_FORM, is_secret
from common.tracing import secret_headers

AGENT_NAME = "nehos-outbound-agent"
#: What the worker's agent does: a line test, or a conversation with models.
Pipeline = Literal["diagnostic", "voice"]
#: Where a call runs: in a process of its own, or in a thread of the worker's.
Jobs = Literal["process", "thread"]
#: Used if AGENTS_FILE is not set and this exists in the working directory.
AGENTS_FILE = "agents.yaml"
#: In the home folder, where no other user can place a report.
SPOOL = ".cache/jambonz-livekit-gateway/reports"
#: With so many processes that wait for calls, so many calls at once are each heard soon; on a small
#: machine no more than it can use.
IDLE_PROCESSES = 8
IDLE_PER_CPU = 4
_SCHEMES = frozenset({"wss", "ws", "https", "http"})
#: What the gateway, too, reads as false.
_FALSE = frozenset({"false", "f", "no", "n", "off", "0"})
#: How variables are named that hold secrets: those of models and voices, for instance.
_SECRET_SUFFIXES = ("_KEY", "_KEYS", "_SECRET", "_TOKEN", "_PASSWORD")
#: A shorter value of such a variable is taken for something else: it may be part of any word.
_MIN_SECRET = 8


#: The variables, as `python -m agent --help` shows them.
VARIABLES = {
    "LIVEKIT_URL": "the LiveKit server: wss://… or ws://…",
    "LIVEKIT_API_KEY": "its key",
    "LIVEKIT_API_SECRET": "the key's secret",
    "LIVEKIT_AGENT_NAME": f"the agent's name; {AGENT_NAME} if it is not set",
    "OPENAI_API_KEY": "key of the models of pipeline voice",
    "OPENAI_BASE_URL": "their server, if it is not OpenAI's",
    "LIVEKIT_INFERENCE_API_KEY": "key of LiveKit Inference instead, without LiveKit Cloud",
    "LIVEKIT_INFERENCE_API_SECRET": "the key's secret",
    "AGENTS_FILE": f"the conversations of pipeline voice; {AGENTS_FILE}, if it exists",
    "CALLBACK_SECRET": "the gateway's; signs requests of tools and lookups, too",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "collector of traces, as all of OpenTelemetry's variables",
    "AGENT_HTTP_HOST": "address of the health endpoint; 127.0.0.1",
    "AGENT_HTTP_PORT": "its port; 8081",
    "AGENT_LOAD_THRESHOLD": "share of CPU above which no call is taken, or inf; 0.7",
    "AGENT_MAX_CALLS": "calls at a time, in place of that share; 0: no limit",
    "AGENT_JOBS": "process, one for each call, or thread: all calls in one process",
    "AGENT_IDLE_PROCESSES": "processes that wait for calls at least; 8, or four for each CPU",
    "AGENT_MAX_IDLE_PROCESSES": "at most, after many calls at once; four for each CPU",
    "AGENT_SPOOL": f"folder of reports that wait for the gateway; ~/{SPOOL}",
}


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """`agents_file`: the conversations of the pipeline `voice`; None for the built-in one.
    `models`: whose models there are keys for.

    `load_threshold`: CPU share (0 to 1) above which the worker takes no job; `inf`: never.
    `max_calls`: calls at a time, in its place; 0 for no limit.

    `spool`: the folder of the reports that the gateway has not accepted yet. `callback_secrets`
    sign the requests of tools and lookups. `secrets`: what no line of the log may hold.
    """

    agent_name: str
    api_key: str = field(repr=False)
    api_secret: str = field(repr=False)
    http_host: str
    http_port: int
    load_threshold: float
    idle_processes: int
    spool: Path
    max_idle_processes: int = 1
    max_calls: int = 0
    jobs: Jobs = "process"
    url: str = ""
    pipeline: Pipeline = "diagnostic"
    agents_file: Path | None = None
    models: ModelAccess = field(default_factory=ModelAccess)
    callback_secrets: tuple[str, ...] = field(default=(), repr=False)
    logging: LogSettings = field(default_factory=LogSettings)
    secrets: frozenset[str] = field(default=frozenset(), repr=False)


def environment() -> dict[str, str]:
    """The variables that are not blank; from .env.local what the environment does not set."""
    load_dotenv(".env.local")
    return {name: value.strip() for name, value in os.environ.items() if value.strip()}


def read_settings(*, needs_livekit: bool = True) -> WorkerSettings:
    """From the environment, and from .env.local for what is not set there.

    The agent's name and pipeline are the gateway's: the environment's, else config.yaml's. So are
    the log settings, by environment only. Raises ValueError for a value that cannot be used, and
    for what is missing to reach LiveKit.
    """
    env = environment()
    needed = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")
    missing = [name for name in needed if name not in env]
    if missing and needs_livekit:
        raise ValueError(f"not set in the environment or .env.local: {', '.join(missing)}")
    url = _livekit_url(env["LIVEKIT_URL"]) if "LIVEKIT_URL" in env else ""
    agent = agent_settings(env)
    cpus = os.cpu_count() or 1
    most = IDLE_PER_CPU * cpus
    idle = int(_number(env, "AGENT_IDLE_PROCESSES", min(IDLE_PROCESSES, most), 1, 1000))
    most_idle = int(_number(env, "AGENT_MAX_IDLE_PROCESSES", most, 1, 1000))
    return WorkerSettings(
        agent_name=agent["agent.name"] or AGENT_NAME,
        pipeline=_one_of(agent, "agent.pipeline", get_args(Pipeline), "diagnostic"),
        agents_file=agents_file(env),
        models=model_access(env, url),
        callback_secrets=_callback_secrets(env),
        url=url,
        api_key=env.get("LIVEKIT_API_KEY", ""),
        api_secret=env.get("LIVEKIT_API_SECRET", ""),
        http_host=env.get("AGENT_HTTP_HOST") or "127.0.0.1",
        http_port=int(_number(env, "AGENT_HTTP_PORT", 8081, 0, 65_535)),
        load_threshold=_number(env, "AGENT_LOAD_THRESHOLD", 0.7, 0.01, math.inf),
        max_calls=int(_number(env, "AGENT_MAX_CALLS", 0, 0, 1000)),
        jobs=_one_of(env, "AGENT_JOBS", get_args(Jobs), "process"),
        idle_processes=idle,
        max_idle_processes=max(idle, most_idle),
        spool=Path(env.get("AGENT_SPOOL") or Path.home() / SPOOL),
        logging=LogSettings(
            level=_one_of(env, "GATEWAY__LOGGING__LEVEL", get_args(Level), "info"),
            format=_one_of(env, "GATEWAY__LOGGING__FORMAT", get_args(Format), "auto"),
            redact=env.get("GATEWAY__LOGGING__REDACT", "").lower() not in _FALSE,
        ),
        secrets=_secrets(env),
    )


def agents_file(env: Mapping[str, str]) -> Path | None:
    """AGENTS_FILE, else agents.yaml in the working directory; None if there is none."""
    named = env.get("AGENTS_FILE")
    path = Path(named or AGENTS_FILE)
    return path if named or path.exists() else None


def _callback_secrets(env: Mapping[str, str]) -> tuple[str, ...]:
    """The gateway's, by which it signs callbacks. Raises ValueError."""
    listed = tuple(_parts(env.get("CALLBACK_SECRET", "")))
    if not all(map(is_secret, listed)):
        raise ValueError(f"CALLBACK_SECRET: {REQUIRED_FORM}")
    return listed


def _livekit_url(text: str) -> str:
    """As the gateway takes it (gateway/config/addresses.py). Raises ValueError."""
    try:
        parts = urlsplit(text)
        usable = parts.hostname and "@" not in parts.netloc and (parts.port is None or parts.port)
    except ValueError:
        usable = False
    path = parts.path.rstrip("/") if usable else ""
    if not usable or parts.scheme not in _SCHEMES or path.endswith("/rtc") or parts.query:
        raise ValueError(
            "LIVEKIT_URL must be of the form wss://project.livekit.cloud or ws://192.0.2.10:7880"
        )
    return f"{parts.scheme}://{parts.netloc}{path}"


def _number(env: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    try:
        number = float(env.get(name, default))
    except ValueError:
        number = math.nan
    is_whole = number.is_integer() or not isinstance(default, int)
    if not (low <= number <= high and is_whole):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ValueError(f"{name} must be {kind} from {low:g} to {high:g}")
    return number


def _one_of(env: Mapping[str, str], name: str, allowed: Sequence[str], default: str) -> Any:
    value = env.get(name) or default
    if value not in allowed:
        raise ValueError(f"{name} must be one of: {', '.join(allowed)}")
    return value


def _secrets(env: Mapping[str, str]) -> frozenset[str]:
    """The values of all variables that are named like secrets, and of lists the parts."""
    values = [value for name, value in env.items() if name.endswith(_SECRET_SUFFIXES)]
    parts = {*values, *(part for value in values for part in _parts(value))}
    own = {env[name] for name in ("LIVEKIT_API_KEY", "LIVEKIT_API_SECRET") if name in env}
    own |= secret_headers(env)
    return frozenset(own | {part for part in parts if len(part) >= _MIN_SECRET})


def _parts(value: str) -> list[str]:
    """Of a list as the gateway reads it: with commas, in YAML or JSON."""
    parts = (part.strip(" []'\"") for part in value.split(","))
    return [part for part in parts if part]
