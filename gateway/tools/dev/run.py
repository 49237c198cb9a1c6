"""`python -m gateway dev`: start everything, print how to use it, stop everything on Ctrl-C."""

import fcntl
import json
import os
import secrets
import shlex
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from gateway.config.field_types import split_list
from gateway.config.loader import DEV_ENV, DEV_LIVEKIT, environment, load_config
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.security.api_keys import SECRET_SIZE
from gateway.tools.dev.stack import Stack, running
from gateway.tools.terminal import is_terminal

#: The variables that other commands need to reach what runs here, if they are set.
SHARED = (
    "LIVEKIT_URL",
    "LIVEKIT_API_KEY",
    "LIVEKIT_API_SECRET",
    "JAMBONZ_WEBHOOK_SECRET",
    "JAMBONZ_WEBHOOK_AUTH",
    "AGENT_HTTP_PORT",
)
#: The name of the API key that `dev` makes where the gateway needs one, and its secret's variable.
KEY_NAME = "dev"
KEY_VARIABLE = "DEV_API_KEY"


def run(config_file: str | None) -> int:
    """Run everything until Ctrl-C; returns 0. Raises GatewayError if a process ends by itself."""
    config = load_config(config_file)
    _check_port(config)
    _stop_on_signals()
    options = ["--config", config_file] if config_file else []
    env = {"GATEWAY__LOGGING__FORMAT": "console", **environment()}
    if is_terminal(sys.stderr):
        env["FORCE_COLOR"] = "1"
    secret = secrets.token_urlsafe(SECRET_SIZE) if config.security.keys else ""
    try:
        with (
            _dev_env() as write_dev_env,
            running(
                config, _with_key(env, secret), print_output=_print_output, options=options
            ) as stack,
        ):
            write_dev_env(_shared(config, stack, secret))
            print(_summary(config, stack), flush=True)
            try:
                _wait_for_failure(stack)
            finally:
                print("\nstopping ...", flush=True)
    except KeyboardInterrupt:
        return 0


def _wait_for_failure(stack: Stack) -> NoReturn:
    """Raises ProcessFailed once a process has ended by itself."""
    while True:
        time.sleep(0.5)
        for process in stack.processes.values():
            process.check()


def _with_key(env: Mapping[str, str], secret: str) -> Mapping[str, str]:
    """`env` with one more API key: the configured ones may be hashes, which nobody can send."""
    if not secret:
        return env
    entries = [*split_list(env.get("GATEWAY_API_KEYS", "")), f"{KEY_NAME}:dispatch:{secret}"]
    return {**env, "GATEWAY_API_KEYS": json.dumps(entries)}


def _shared(config: Config, stack: Stack, secret: str) -> Mapping[str, str]:
    """The variables of DEV_ENV."""
    shared = {name: stack.env[name] for name in SHARED if stack.env.get(name)}
    shared["PORT"] = str(config.server.port)
    if not config.livekit.url:
        shared[DEV_LIVEKIT] = stack.env["LIVEKIT_URL"]
    if secret:
        shared |= {KEY_VARIABLE: secret, "GATEWAY_API_KEYS": f"{KEY_NAME}:dispatch:{secret}"}
    return shared


@contextmanager
def _dev_env() -> Iterator[Callable[[Mapping[str, str]], None]]:
    """Yields what writes DEV_ENV, readable by its owner only; the file is deleted at the end.

    It is locked until then. Raises ConfigError if another `dev` runs in this folder: the file leads
    to one gateway.
    """
    path = Path(DEV_ENV)
    path.parent.mkdir(exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = f"`make run` runs in this folder already ({DEV_ENV}): stop it first"
            raise ConfigError([problem]) from None

        def write(variables: Mapping[str, str]) -> None:
            file.truncate(0)
            file.writelines(f"{name}={shlex.quote(text)}\n" for name, text in variables.items())
            file.flush()

        try:
            yield write
        finally:
            path.unlink(missing_ok=True)


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
    listing = f"{config.own_url}/livekit-api/calls"
    curl = f"curl {listing}"
    if config.security.keys:
        curl = f'. {DEV_ENV}; curl -H "X-API-Key: ${KEY_VARIABLE}" {listing}'
    commands = {
        f"{config.own_url}/talk": "call the agent from the browser",
        "make demo": "simulate a call, from its first hook to its end",
        curl: "list the calls",
    }
    width = max(map(len, commands))
    examples = "\n".join(f"    {command:<{width}}  {text}" for command, text in commands.items())
    return f"""
  LiveKit  {stack.env["LIVEKIT_URL"]}  ({source})
  gateway  {config.own_url}
  worker   takes jobs for the agent "{config.agent.name}"
  page     {config.own_url}/

  Try in another terminal:
{examples}
  Ctrl-C stops everything.
"""


def _print_output(name: str, line: str) -> None:
    print(f"{name:<8}| {line}", file=sys.stderr, flush=True)
