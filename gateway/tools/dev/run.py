"""`python -m gateway dev`: start everything, print how to use it, stop everything on Ctrl-C."""

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gateway.config.loader import DEV_ENV, environment, load_config
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.tools.dev.stack import Stack, running
from gateway.tools.terminal import is_terminal

#: The variables that `simulate` and `doctor` need to reach what runs here.
SHARED = (
    "LIVEKIT_URL",
    "LIVEKIT_API_KEY",
    "LIVEKIT_API_SECRET",
    "JAMBONZ_WEBHOOK_SECRET",
    "AGENT_HTTP_PORT",
)


def run(config_file: str | None) -> int:
    """Run everything until Ctrl-C; returns 0. Raises GatewayError if a process ends by itself."""
    config = load_config(config_file)
    _check_port(config)
    _stop_on_signals()
    options = ["--config", config_file] if config_file else []
    env = {"GATEWAY__LOGGING__FORMAT": "console", **environment()}
    if is_terminal(sys.stderr):
        env["FORCE_COLOR"] = "1"
    try:
        with (
            running(config, env, print_output=_print_output, options=options) as stack,
            _shared(stack),
        ):
            print(_summary(config, stack), flush=True)
            while True:
                time.sleep(0.5)
                for process in stack.processes.values():
                    process.check()
    except KeyboardInterrupt:
        return 0


@contextmanager
def _shared(stack: Stack) -> Iterator[None]:
    """Write DEV_ENV, readable by its owner only; delete it at the end."""
    path = Path(DEV_ENV)
    path.parent.mkdir(exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.writelines(f"{name}='{stack.env[name]}'\n" for name in SHARED)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        print("\nstopping ...", flush=True)


def _check_port(config: Config) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.listen_host, config.server.port))
        except OSError as error:
            raise ConfigError(
                [f"port {config.server.port} is in use: stop what listens there, or set PORT"]
            ) from error


def _stop_on_signals() -> None:
    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        for other in signals:
            signal.signal(other, signal.SIG_IGN)  # a second Ctrl-C must not interrupt the stopping
        raise KeyboardInterrupt

    for number in signals:
        signal.signal(number, interrupt)


def _summary(config: Config, stack: Stack) -> str:
    source = "as configured" if config.livekit.url else "livekit-server on this machine"
    commands = {
        "make demo": "simulate a call, from its first hook to its end",
        f"curl {config.own_url}/livekit-api/calls": "list the calls",
    }
    width = max(map(len, commands))
    examples = "\n".join(f"    {command:<{width}}  {text}" for command, text in commands.items())
    return f"""
  LiveKit  {stack.env["LIVEKIT_URL"]}  ({source})
  gateway  {config.own_url}
  worker   takes jobs for the agent "{config.agent.name}"

  Try in another terminal:
{examples}
  Ctrl-C stops everything.
"""


def _print_output(name: str, line: str) -> None:
    print(f"{name:<8}| {line}", file=sys.stderr, flush=True)
