"""Starts what real telephony takes: Redis, LiveKit, livekit-sip in a network of its own, gateways.

Of the gateways one has the strategy `room`, the other `participant`; they share the rest.
"""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.settings import LOOPBACK
from gateway.livekit.client import LiveKit
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.processes import Process, python
from gateway.tools.dev.stack import READY_LIMIT, wait_until_up
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET
from tests.livekit.conftest import Real, real_parts
from tests.sip.network import Network
from tests.sip.sipp import Sipp

#: Others than loopback may connect: the network has nobody else on it. Nothing is written to disk.
REDIS_OPTIONS = ("--protected-mode", "no", "--save", "", "--appendonly", "no")
KEY = "devkey"
TRUNK_NUMBER = "+15550100"
SIP_PORT = 5060
#: A folder without anybody's config.yaml or .env.local.
NOWHERE = "/"
#: Where callers go that no agent takes. Those of the second gateway have been answered.
FALLBACK = '[{phone: "+15550107", trunk: my-carrier}, {sip: "sip:desk@pbx.example.com"}]'
FALLBACK_WORDS = "Please call again later."
#: Who calls may be handed on to.
ALLOWED = "+61491570*"


@dataclass(frozen=True)
class Telephony:
    """What runs. The trunks' carrier, for calls both ways, is at `address` and `port`.

    `env` is how a command reaches LiveKit and the gateway of `real`.
    """

    real: Real
    parking_url: str
    livekit_sip: Process
    sip_host: str
    address: str
    port: int
    env: Mapping[str, str]

    def callee(
        self, scenario: str, folder: Path, **words: str
    ) -> AbstractAsyncContextManager[Sipp]:
        """Whoever is called next; see `Sipp.playing`."""
        return Sipp.playing(scenario, self.address, self.port, folder, **words)

    def caller(
        self, scenario: str, folder: Path, **words: str
    ) -> AbstractAsyncContextManager[Sipp]:
        """Somebody who calls livekit-sip now; see `Sipp.playing`."""
        to = f"{self.sip_host}:{SIP_PORT}"
        port = _free_udp_port(self.address)
        return Sipp.playing(scenario, self.address, port, folder, call=to, **words)

    def livekit(self) -> AbstractAsyncContextManager[LiveKit]:
        settings = self.real.config.livekit
        return LiveKit.connected(settings.url, settings.api_key, settings.api_secret, timeout=5)


@contextmanager
def running(livekit_binary: Path, net: Network, *, alone: bool = False) -> Iterator[Telephony]:
    """All of it on `net`, ready for calls.

    `alone` is a gateway without the other one, at a LiveKit that makes a room for each INVITE.
    """
    secret = secrets.token_urlsafe(32)
    gateway_port, parking_port, carrier_port = free_port(), free_port(), _free_udp_port(net.near)
    hooks = [f"http://{LOOPBACK}:{p}/livekit/webhook" for p in (gateway_port, parking_port)]
    # What somebody has there for a LiveKit of their own is not for this one.
    basis = {key: value for key, value in os.environ.items() if not key.startswith("LIVEKIT_")}
    with ExitStack() as stops:

        def start(name: str, command: list[str], **env: str) -> Process:
            child = Process(name, command, basis | env)
            stops.callback(child.stop)
            return child

        redis = _start_redis(start, net)
        port = free_port()
        settings = _livekit_settings(net, port, redis, secret, hooks, auto_create=alone)
        livekit = start("livekit", [str(livekit_binary)], LIVEKIT_CONFIG=json.dumps(settings))
        wait_until_up(livekit, f"http://{net.near}:{port}")
        url = f"ws://{net.near}:{port}"
        settings = _sip_settings(url, redis, secret)
        sip = start("livekit-sip", net.inside("livekit-sip"), SIP_CONFIG_BODY=json.dumps(settings))
        sip.wait_for("service ready", limit=READY_LIMIT)
        env = _gateway_env(url, secret, net, carrier_port)
        own = {
            "PORT": str(gateway_port),
            "GATEWAY_PUBLIC_URL": f"http://{LOOPBACK}:{gateway_port}",
            "GATEWAY__INBOUND__FALLBACK": FALLBACK,
        }
        _set_up(basis | env)
        parking = None if alone else _start_parking(start, env, parking_port)
        with real_parts(**env, **own) as real:
            if parking:
                wait_until_up(parking, f"http://{LOOPBACK}:{parking_port}/readyz")
            yield Telephony(
                real=real,
                parking_url=f"http://{LOOPBACK}:{parking_port}",
                livekit_sip=sip,
                sip_host=net.far,
                address=net.near,
                port=carrier_port,
                env=basis | env | own,
            )


def _start_redis(start: Callable[..., Process], net: Network) -> str:
    port = free_port()
    command = ["redis-server", "--bind", net.near, "--port", str(port), *REDIS_OPTIONS]
    start("redis", command).wait_for("Ready to accept connections", limit=READY_LIMIT)
    return f"{net.near}:{port}"


def _set_up(env: Mapping[str, str]) -> None:
    """Trunks from and to the carrier, and the rule that leads INVITEs, as anybody makes them."""
    command = python("-m", "gateway", "setup", "--apply")
    done = subprocess.run(
        command, cwd=NOWHERE, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _start_parking(start: Callable[..., Process], env: Mapping[str, str], port: int) -> Process:
    """The gateway with the strategy `participant`."""
    own = {
        "PORT": str(port),
        "GATEWAY__INBOUND__STRATEGY": "participant",
        "GATEWAY__INBOUND__FALLBACK": f'[{{say: "{FALLBACK_WORDS}"}}]',
    }
    return start("parking gateway", python("-m", "gateway", "serve"), **{**env, **own})


def _gateway_env(url: str, secret: str, net: Network, carrier_port: int) -> dict[str, str]:
    return {
        "LIVEKIT_URL": url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": secret,
        "LIVEKIT_SIP_HOST": net.far,
        "GATEWAY_API_KEYS": f"n8n:dispatch:{DISPATCH_KEY}",
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GATEWAY__LIVEKIT__SIP_TRANSPORT": "udp",
        "GATEWAY__TRUNKS__INBOUND_ADDRESSES": net.near,
        "GATEWAY__TRUNKS__OUTBOUND_ADDRESS": f"{net.near}:{carrier_port}",
        "GATEWAY__TRUNKS__OUTBOUND_TRANSPORT": "udp",
        "GATEWAY__TRUNKS__OUTBOUND_NUMBERS": TRUNK_NUMBER,
        "GATEWAY__INBOUND__AGENT_TIMEOUT": "3",
        "GATEWAY__TRANSFER__ALLOWED": ALLOWED,
        "GATEWAY__TRANSFER__TRUNK": "my-carrier",
        "GATEWAY__MONITOR__INTERVAL": "0.1",
    }


def _livekit_settings(
    net: Network,
    port: int,
    redis: str,
    secret: str,
    webhook_urls: list[str],
    *,
    auto_create: bool,
) -> Mapping[str, Any]:
    return {
        "port": port,
        "bind_addresses": [net.near],
        "redis": {"address": redis},
        "rtc": {
            "tcp_port": free_port(),
            "udp_port": _free_udp_port(net.near),
            "node_ip": net.near,
            "use_external_ip": False,
            "ips": {"includes": [net.subnet]},
            # There is none; without a word here clients would ask one on the internet.
            "stun_servers": [f"{net.near}:9"],
        },
        # Without this a worker gets no job while its machine is busier than 70 %.
        "agents": {"target_load": 100},
        "room": {"auto_create": auto_create},
        "keys": {KEY: secret},
        "webhook": {"api_key": KEY, "urls": webhook_urls},
        "logging": {"level": "error", "json": False},
    }


def _sip_settings(url: str, redis: str, secret: str) -> Mapping[str, Any]:
    return {
        "api_key": KEY,
        "api_secret": secret,
        "ws_url": url,
        "redis": {"address": redis},
        "sip_port": SIP_PORT,
        "rtp_port": "10000-10100",
        "use_external_ip": False,
        # One busy machine runs everything: calls must not be refused for its load.
        "max_cpu_utilization": 1,
        "logging": {"level": "debug", "json": False},
    }


def _free_udp_port(address: str) -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
