"""LiveKit, gateway and worker as one thing: started in order, ready when entered, gone after."""

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
from gateway.tools.dev.livekit_server import find_or_build, free_port, local_server
from gateway.tools.dev.processes import Process, python

LIVEKIT_PORT = 7880
#: How long a part may take to be ready, in s.
READY_LIMIT = 60.0
#: What the worker logs once LiveKit knows it (`agent/worker.py`).
WORKER_SAYS = "worker.ready"
WORKER = tuple(python("-m", "agent"))

#: Called with a child's name, or "", and what there is to say.
Print = Callable[[str, str], object]


@dataclass(frozen=True)
class Stack:
    """What runs; `env` is what a process must have to reach it, secrets included."""

    processes: Mapping[str, Process]
    env: Mapping[str, str]


@contextmanager
def running(
    config: Config,
    env: Mapping[str, str],
    *,
    say: Print,
    options: Sequence[str] = (),
    worker: Sequence[str] = WORKER,
) -> Iterator[Stack]:
    """Everything, once it is ready. `options` are the gateway's, `worker` is another worker.

    Raises ConfigError, NoLiveKit, ChildFailed.
    """
    processes: dict[str, Process] = {}
    with ExitStack() as stops:

        def start(name: str, command: Sequence[str], env: Mapping[str, str]) -> Process:
            processes[name] = Process(name, command, env, on_line=lambda line: say(name, line))
            stops.callback(processes[name].stop)
            return processes[name]

        env = _with_defaults(env)
        if config.livekit.url:
            if problems := validate_for_serve(config):
                raise ConfigError(problems)
        else:
            env |= _start_livekit(start, config, env, say)
        gateway = start("gateway", python("-m", "gateway", *options, "serve"), env)
        start("worker", worker, env)
        wait_until_up(gateway, f"{config.own_url}/readyz")
        processes["worker"].wait_for(WORKER_SAYS, limit=READY_LIMIT)
        yield Stack(processes, env)


def _with_defaults(env: Mapping[str, str]) -> dict[str, str]:
    return {
        "JAMBONZ_WEBHOOK_SECRET": f"wh_secret_{secrets.token_urlsafe(16)}",
        # One busy machine runs everything: a worker that refuses jobs under load would confuse.
        "AGENT_LOAD_THRESHOLD": "inf",
        "AGENT_HTTP_PORT": str(free_port()),
        **env,
    }


def _start_livekit(
    start: Callable[[str, Sequence[str], Mapping[str, str]], Process],
    config: Config,
    env: Mapping[str, str],
    say: Print,
) -> dict[str, str]:
    """A server of our own; what the others must know of it."""
    server = local_server(
        find_or_build(lambda line: say("", line)),
        webhook_url=f"http://{LOOPBACK}:{config.server.port}/livekit/webhook",
        preferred_port=LIVEKIT_PORT,
    )
    child = start("livekit", server.command, {**env, **server.env})
    wait_until_up(child, f"http://{LOOPBACK}:{server.port}")
    return {
        "LIVEKIT_URL": server.url,
        "LIVEKIT_API_KEY": server.key,
        "LIVEKIT_API_SECRET": server.secret,
    }


def wait_until_up(child: Process, url: str) -> None:
    """Poll `url` until it answers 200. Raises ChildFailed when it does not, or the child ends."""
    deadline = time.monotonic() + READY_LIMIT
    while time.monotonic() < deadline:
        child.check()
        try:
            with urllib.request.urlopen(url, timeout=3):  # noqa: S310 - our own loopback URL
                return
        except OSError:
            time.sleep(0.05)
    raise child.failed(f"did not answer {url} within {READY_LIMIT:g} s")
