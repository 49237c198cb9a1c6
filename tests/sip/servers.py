"""The servers of real telephony: Redis, LiveKit, livekit-sip in a network of its own, gateways.

One gateway has the strategy `room`, another `participant`; they share the other servers.
"""

import json
import os
import secrets
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from gateway.config.settings import LOOPBACK
from gateway.livekit.client import LiveKit
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import READY_LIMIT, wait_until_up
from tests.livekit.conftest import RealServers, real_servers
from tests.ports import free_port
from tests.sip.network import Network
from tests.sip.server_settings import (
    SIP_PORT,
    free_udp_port,
    gateway_env,
    livekit_settings,
    participant_gateway_env,
    room_gateway_env,
    sip_settings,
)
from tests.sip.sipp import Sipp

#: LiveKit's and livekit-sip's network has no other hosts. Redis writes nothing to disk.
REDIS_OPTIONS = ("--protected-mode", "no", "--save", "", "--appendonly", "no")
#: A folder without a config.yaml or .env.local.
EMPTY_FOLDER = "/"


@dataclass(frozen=True)
class Telephony:
    """The running servers. `real` has the gateway with the strategy `room`.

    The trunks' carrier, for calls in both directions, is at `carrier_address` and `carrier_port`.
    With `env` a command uses the same LiveKit and the gateway of `real`. `redis` is the address of
    LiveKit's, `start_livekit` starts it again after `livekit_server.kill()`.
    """

    real: RealServers
    participant_url: str
    redis: str
    livekit_server: Process
    start_livekit: Callable[[], Process]
    livekit_sip: Process
    sip_host: str
    carrier_address: str
    carrier_port: int
    env: Mapping[str, str]

    def callee(
        self, scenario: str, folder: Path, **variables: str
    ) -> AbstractAsyncContextManager[Sipp]:
        """The callee of the next call, see `Sipp.running`."""
        return Sipp.running(scenario, self.carrier_address, self.carrier_port, folder, **variables)

    def caller(
        self, scenario: str, folder: Path, **variables: str
    ) -> AbstractAsyncContextManager[Sipp]:
        """A caller who calls livekit-sip now, see `Sipp.running`."""
        variables = {"header": "X-Account-Code: em-tech-01", **variables}
        remote = f"{self.sip_host}:{SIP_PORT}"
        address = self.carrier_address
        return Sipp.running(
            scenario, address, free_udp_port(address), folder, remote=remote, **variables
        )

    def livekit(self) -> AbstractAsyncContextManager[LiveKit]:
        settings = self.real.config.livekit
        return LiveKit.connected(settings.url, settings.api_key, settings.api_secret, timeout=5)


@contextmanager
def running_telephony(
    livekit_binary: Path, network: Network, *, single_gateway: bool = False
) -> Iterator[Telephony]:
    """All servers, ready for calls.

    `single_gateway` leaves out the gateway with the strategy `participant`, and has LiveKit create
    a room for each INVITE.
    """
    secret = secrets.token_urlsafe(32)
    room_port, participant_port = free_port(), free_port()
    carrier_port = free_udp_port(network.host_address)
    base_env = {k: v for k, v in os.environ.items() if not k.startswith("LIVEKIT_")}
    with ExitStack() as stops:

        def start(name: str, command: list[str], **env: str) -> Process:
            process = Process(name, command, base_env | env)
            stops.callback(process.stop)
            return process

        redis = _start_redis(start, network)
        webhook_urls = [_url(port, "/livekit/webhook") for port in (room_port, participant_port)]
        settings = livekit_settings(
            network,
            port=free_port(),
            redis=redis,
            secret=secret,
            webhook_urls=webhook_urls,
            auto_create=single_gateway,
        )
        start_livekit = partial(_start_livekit, start, livekit_binary, network, settings)
        livekit_server, url = start_livekit(), f"ws://{network.host_address}:{settings['port']}"
        folder = Path(stops.enter_context(TemporaryDirectory()))
        sip = sip_settings(url, redis=redis, secret=secret, certificate=_certificate(folder))
        livekit_sip = _start_sip(start, network, sip)
        env = gateway_env(url, secret=secret, network=network, carrier_port=carrier_port)
        _set_up(base_env | env)
        if not single_gateway:
            _start_participant_gateway(start, participant_port, env)
        room_env = room_gateway_env(room_port)
        with real_servers(**env, **room_env) as real:
            yield Telephony(
                real=real,
                participant_url=_url(participant_port),
                redis=redis,
                livekit_server=livekit_server,
                start_livekit=start_livekit,
                livekit_sip=livekit_sip,
                sip_host=network.address,
                carrier_address=network.host_address,
                carrier_port=carrier_port,
                env=base_env | env | room_env,
            )


def _certificate(folder: Path) -> Path:
    """A file with a key and its certificate, for SIP by TLS."""
    file = folder / "livekit-sip.pem"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=livekit-sip", "-days", "2"]
    subprocess.run(
        ["openssl", "req", "-x509", *key, *names, "-keyout", str(file), "-out", str(folder / "c")],
        check=True,
        capture_output=True,
        timeout=30,
    )
    file.write_text(file.read_text() + (folder / "c").read_text())
    return file


def _url(port: int, path: str = "") -> str:
    return f"http://{LOOPBACK}:{port}{path}"


def _start_redis(start: Callable[..., Process], network: Network) -> str:
    """Returns its address."""
    port = free_port()
    command = ["redis-server", "--bind", network.host_address, "--port", str(port), *REDIS_OPTIONS]
    start("redis", command).wait_for("Ready to accept connections", limit=READY_LIMIT)
    return f"{network.host_address}:{port}"


def _start_livekit(
    start: Callable[..., Process], binary: Path, network: Network, settings: Mapping[str, object]
) -> Process:
    livekit = start("livekit", [str(binary)], LIVEKIT_CONFIG=json.dumps(settings))
    wait_until_up(livekit, f"http://{network.host_address}:{settings['port']}")
    return livekit


def _start_sip(
    start: Callable[..., Process], network: Network, settings: Mapping[str, object]
) -> Process:
    command = network.inside("livekit-sip")
    livekit_sip = start("livekit-sip", command, SIP_CONFIG_BODY=json.dumps(settings))
    livekit_sip.wait_for("service ready", limit=READY_LIMIT)
    return livekit_sip


def _set_up(env: Mapping[str, str]) -> None:
    """Create the trunks to and from the carrier and the dispatch rule, by the project's command."""
    command = python("-m", "gateway", "setup", "--apply")
    result = subprocess.run(
        command, cwd=EMPTY_FOLDER, env=env, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def _start_participant_gateway(
    start: Callable[..., Process], port: int, env: Mapping[str, str]
) -> None:
    command = python("-m", "gateway", "serve")
    gateway = start("participant gateway", command, **{**env, **participant_gateway_env(port)})
    wait_until_up(gateway, _url(port, "/readyz"))
