"""`python -m gateway dev`: starts LiveKit, gateway and worker, says what runs, stops them all."""

import os
import secrets
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gateway.config import environment, load_config
from gateway.dev.children import Child, python
from gateway.dev.livekit_server import find_or_build, local_server
from gateway.errors import ConfigError
from gateway.settings import LOOPBACK, Config, serving_problems

#: Where `simulate` in another terminal finds what runs here; gone when it stops.
DEV_ENV = Path(".run/dev.env")
LIVEKIT_PORT = 7880
READY_LIMIT = 60.0
#: What the worker logs once LiveKit knows it (`agent/worker.py`).
WORKER_SAYS = "worker ready for calls"


def run(config_file: str | None) -> int:
    """Everything up, until Ctrl-C (0) or until a part fails. Raises GatewayError."""
    config = load_config(config_file)
    _check_port(config)
    _stop_on_signals()
    env = environment()
    with ExitStack() as running:
        try:
            children = list(_start(running, config, config_file, env))
            running.enter_context(_dev_env(env))
            print(_summary(config, env), flush=True)
            while True:
                time.sleep(0.5)
                for child in children:
                    child.check()
        except KeyboardInterrupt:
            print("\nstopping ...", flush=True)
    return 0


def _start(
    running: ExitStack, config: Config, config_file: str | None, env: dict[str, str]
) -> Iterator[Child]:
    """Start what is missing and wait until it is ready; `env` gains what the others must know."""
    if not config.livekit.url:
        webhook_url = f"http://{LOOPBACK}:{config.server.port}/livekit/webhook"
        server = local_server(
            find_or_build(_say), webhook_url=webhook_url, preferred_port=LIVEKIT_PORT
        )
        env |= {
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": server.key,
            "LIVEKIT_API_SECRET": server.secret,
        }
        livekit = running.enter_context(_child("livekit", server.command, {**env, **server.env}))
        _wait_until_up(livekit, server.url.replace("ws:", "http:"))
        yield livekit
    elif problems := serving_problems(config):
        raise ConfigError(problems)
    env.setdefault("JAMBONZ_WEBHOOK_SECRET", f"wh_secret_{secrets.token_urlsafe(16)}")
    env.setdefault("GATEWAY__SERVER__LOG_FORMAT", "console")
    options = ["--config", config_file] if config_file else []
    gateway = running.enter_context(
        _child("gateway", python("-m", "gateway", *options, "serve"), env)
    )
    worker_command = python("-m", "agent", "--log-format", "colored")
    worker = running.enter_context(_child("worker", worker_command, _for_worker(env)))
    _wait_until_up(gateway, f"{config.own_url}/readyz")
    yield gateway
    worker.wait_for(WORKER_SAYS, limit=READY_LIMIT)
    yield worker


def _for_worker(env: Mapping[str, str]) -> dict[str, str]:
    # One busy machine runs everything here: a worker that refuses jobs under load would confuse.
    return {"AGENT_LOAD_THRESHOLD": "inf", "AGENT_HTTP_PORT": str(_free_port()), **env}


@contextmanager
def _child(name: str, command: list[str], env: Mapping[str, str]) -> Iterator[Child]:
    child = Child(name, command, env, on_line=lambda line: _say(f"{name:<8}| {line}"))
    try:
        yield child
    finally:
        child.stop()


@contextmanager
def _dev_env(env: Mapping[str, str]) -> Iterator[None]:
    names = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET", "JAMBONZ_WEBHOOK_SECRET")
    DEV_ENV.parent.mkdir(exist_ok=True)
    descriptor = os.open(DEV_ENV, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}='{env[name]}'\n" for name in names)
    try:
        yield
    finally:
        DEV_ENV.unlink(missing_ok=True)


def _wait_until_up(child: Child, url: str) -> None:
    """Poll `url` until it answers 200. Raises ChildFailed when the child ends before that."""
    deadline = time.monotonic() + READY_LIMIT
    while time.monotonic() < deadline:
        child.check()
        try:
            with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - our own loopback URL
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    child.wait_for("\0", limit=0)  # says what it wrote last


def _check_port(config: Config) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.listen_host, config.server.port))
        except OSError as error:
            raise ConfigError(
                [f"port {config.server.port} is taken: stop what listens there, or set PORT"]
            ) from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def _stop_on_signals() -> None:
    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(other, signal.SIG_IGN)  # stopping is under way, nothing cuts it short
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def _summary(config: Config, env: Mapping[str, str]) -> str:
    own = "configured" if config.livekit.url else "livekit-server on this machine, in memory"
    return f"""
  LiveKit  {env["LIVEKIT_URL"]}  ({own})
  gateway  {config.own_url}
  worker   answers to "{config.agent.name}"

  Try in another terminal:
    make demo                                       a call, from its hook to its end
    curl {config.own_url}/livekit-api/calls     the calls there are
  Ctrl-C stops everything.
"""


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
