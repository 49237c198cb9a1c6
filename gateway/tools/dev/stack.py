"""LiveKit, gateway and worker as one context: started in order, stopped together."""

import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from gateway.config.settings import LOOPBACK, Config
from gateway.config.validation import validate_for_serve
from gateway.errors import ConfigError
from gateway.tools.dev.livekit_binary import find_or_build
from gateway.tools.dev.livekit_server import free_port, local_server
from gateway.tools.dev.processes import Process, python

LIVEKIT_PORT = 7880
#: How long one process may take until it is ready, in s.
READY_LIMIT = 60.0
#: What the worker logs once it is registered at LiveKit (`agent/worker.py`).
WORKER_READY = "worker.ready"
WORKER = tuple(python("-m", "agent"))

#: Called with the name of a process and a line that it wrote.
PrintOutput = Callable[[str, str], object]


@dataclass(frozen=True)
class Stack:
    """The processes by name; `env` is the environment that leads to them, secrets included."""

    processes: Mapping[str, Process]
    env: Mapping[str, str]


@contextmanager
def running(
    config: Config,
    env: Mapping[str, str],
    *,
    print_output: PrintOutput = lambda *_: None,
    options: Sequence[str] = (),
    worker: Sequence[str] = WORKER,
) -> Iterator[Stack]:
    """All processes, once they are ready. LiveKit is started if `config` names none.

    `options` precede `serve` on the gateway's command line; `worker` is the worker's command.
    Raises ConfigError, NoLiveKit, ProcessFailed.
    """
    processes: dict[str, Process] = {}
    with ExitStack() as stops:

        def start(name: str, command: Sequence[str], env: Mapping[str, str]) -> Process:
            process = Process(name, command, env, on_line=lambda line: print_output(name, line))
            processes[name] = process
            stops.callback(process.stop)
            return process

        env = {**_with_defaults(env), **_agent(config)}
        if config.livekit.url:
            if problems := validate_for_serve(config):
                raise ConfigError(problems)
        else:
            env |= _start_livekit(start, config, env)
        gateway = start("gateway", python("-m", "gateway", *options, "serve"), env)
        # What keeps a gateway from starting is then all that is printed.
        wait_until_up(gateway, f"{config.own_url}/readyz")
        start("worker", worker, env).wait_for(WORKER_READY, limit=READY_LIMIT)
        yield Stack(processes, env)


def _with_defaults(env: Mapping[str, str]) -> dict[str, str]:
    return {
        "JAMBONZ_WEBHOOK_SECRET": f"wh_secret_{secrets.token_urlsafe(16)}",
        # By default a worker takes no jobs while the machine is busy, which this one often is.
        "AGENT_LOAD_THRESHOLD": "inf",
        # One person calls, at a machine with little memory to spare.
        "AGENT_IDLE_PROCESSES": "2",
        "AGENT_HTTP_PORT": str(free_port()),
        "GATEWAY__WEB__CALLS": "true",
        **env,
    }


def _agent(config: Config) -> dict[str, str]:
    """What the gateway uses, so that the worker does: `--config` reaches the gateway only."""
    agent = config.agent
    return {"LIVEKIT_AGENT_NAME": agent.name, "GATEWAY__AGENT__PIPELINE": agent.pipeline}


def _start_livekit(
    start: Callable[[str, Sequence[str], Mapping[str, str]], Process],
    config: Config,
    env: Mapping[str, str],
) -> dict[str, str]:
    """Start a LiveKit server; returns the variables that lead to it."""
    server = local_server(
        find_or_build(),
        webhook_url=f"http://{LOOPBACK}:{config.server.port}/livekit/webhook",
        preferred_port=LIVEKIT_PORT,
    )
    process = start("livekit", server.command, {**env, **server.env})
    wait_until_up(process, f"http://{LOOPBACK}:{server.port}")
    return {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.key,
        "LIVEKIT_API_SECRET": server.secret,
    }


def wait_until_up(process: Process, url: str) -> None:
    """Poll `url` until it answers 200. Raises ProcessFailed after READY_LIMIT, or if it ends."""
    deadline = time.monotonic() + READY_LIMIT
    while time.monotonic() < deadline:
        process.check()
        try:
            with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - an URL on loopback
                return
        except OSError:
            time.sleep(0.05)
    raise process.failed(f"did not answer {url} within {READY_LIMIT:g} s")
