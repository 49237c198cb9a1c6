"""Real telephony, started once: Redis, LiveKit, livekit-sip in a network of its own, a trunk.

Skipped, also in CI, where livekit-sip is not on PATH: it is not to be had everywhere.
"""

import asyncio
import json
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from livekit import api

from gateway.dev.children import Child
from gateway.dev.livekit_server import NoLiveKit, find_or_build, free_port
from gateway.dev.stack import READY_LIMIT, wait_until_up
from gateway.settings import LOOPBACK
from tests.conftest import DISPATCH_KEY
from tests.livekit.conftest import Real, call_once, real_parts
from tests.sip.network import Network, NoNetwork, network
from tests.sip.sipp import Sipp

NEEDED = ("livekit-sip", "redis-server", "sipp", "ip")
#: Others than loopback may connect: the network has nobody else on it. Nothing is written to disk.
REDIS_OPTIONS = ("--protected-mode", "no", "--save", "", "--appendonly", "no")
KEY = "devkey"
TRUNK_NUMBER = "+15550100"
SIP_PORT = 5060
#: How long anything that a test waits for may take, in s.
DEADLINE = 20.0


@dataclass(frozen=True)
class Telephony:
    """What runs. The trunks' carrier, for calls both ways, is at `address` and `port`."""

    real: Real
    livekit_sip: Child
    sip_host: str
    address: str
    port: int

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
        return Sipp.playing(scenario, self.address, self.port, folder, call=to, **words)


@pytest.fixture(scope="session")
def telephony() -> Iterator[Telephony]:
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        pytest.skip(f"real telephony needs {', '.join(missing)} on PATH")
    with ExitStack() as parts:
        try:
            livekit_binary = find_or_build(print)
            net = parts.enter_context(network())
        except NoLiveKit as error:
            pytest.skip(str(error))
        except NoNetwork as error:
            pytest.skip(f"real telephony needs a network namespace, thus root: {error}")
        yield parts.enter_context(_running(livekit_binary, net))


@contextmanager
def _running(livekit_binary: Path, net: Network) -> Iterator[Telephony]:
    """All of it on `net`, ready for calls."""
    secret = secrets.token_urlsafe(32)
    redis_port, livekit_port, gateway_port = free_port(), free_port(), free_port()
    carrier_port = _free_udp_port(net.near)
    redis = f"{net.near}:{redis_port}"
    url = f"ws://{net.near}:{livekit_port}"
    with ExitStack() as stops:

        def start(name: str, command: list[str], **env: str) -> Child:
            child = Child(name, command, os.environ | env)
            stops.callback(child.stop)
            return child

        store = start(
            "redis",
            ["redis-server", "--bind", net.near, "--port", str(redis_port), *REDIS_OPTIONS],
        )
        store.wait_for("Ready to accept connections", limit=READY_LIMIT)
        hook = f"http://{LOOPBACK}:{gateway_port}/livekit/webhook"
        settings = _livekit_settings(net, livekit_port, redis, secret, hook)
        livekit = start("livekit", [str(livekit_binary)], LIVEKIT_CONFIG=json.dumps(settings))
        wait_until_up(livekit, url.replace("ws:", "http:"))
        settings = _sip_settings(url, redis, secret)
        sip = start("livekit-sip", net.inside("livekit-sip"), SIP_CONFIG_BODY=json.dumps(settings))
        sip.wait_for("service ready", limit=READY_LIMIT)
        trunk = asyncio.run(_make_trunks(url, secret, net.near, carrier_port))
        with real_parts(
            LIVEKIT_URL=url,
            LIVEKIT_API_KEY=KEY,
            LIVEKIT_API_SECRET=secret,
            LIVEKIT_SIP_HOST=net.far,
            GATEWAY__LIVEKIT__SIP_TRANSPORT="udp",
            SIP_OUTBOUND_TRUNK_ID=trunk,
            GATEWAY_API_KEYS=f"n8n:dispatch:{DISPATCH_KEY}",
            PORT=str(gateway_port),
        ) as real:
            yield Telephony(real, sip, net.far, net.near, carrier_port)


def _livekit_settings(
    net: Network, port: int, redis: str, secret: str, webhook_url: str
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
        "room": {"auto_create": False},
        "keys": {KEY: secret},
        "webhook": {"api_key": KEY, "urls": [webhook_url]},
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


async def _make_trunks(url: str, secret: str, carrier: str, port: int) -> str:
    """Trunks from and to `carrier`, and the rule that leads INVITEs; the outbound trunk's id."""
    outbound = api.SIPOutboundTrunkInfo(
        name="to the carrier",
        address=f"{carrier}:{port}",
        numbers=[TRUNK_NUMBER],
        transport=api.SIPTransport.SIP_TRANSPORT_UDP,
    )
    inbound = api.SIPInboundTrunkInfo(name="from the carrier", allowed_addresses=[carrier])
    rule = api.SIPDispatchRule(
        dispatch_rule_callee=api.SIPDispatchRuleCallee(room_prefix="", randomize=False)
    )
    async with api.LiveKitAPI(url, KEY, secret) as livekit:
        made = await livekit.sip.create_outbound_trunk(
            api.CreateSIPOutboundTrunkRequest(trunk=outbound)
        )
        await livekit.sip.create_inbound_trunk(api.CreateSIPInboundTrunkRequest(trunk=inbound))
        await livekit.sip.create_dispatch_rule(
            api.CreateSIPDispatchRuleRequest(dispatch_rule=api.SIPDispatchRuleInfo(rule=rule))
        )
    return made.sip_trunk_id


def _free_udp_port(address: str) -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def n8n(telephony: Telephony) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the gateway that may dispatch."""
    async with aiohttp.ClientSession(
        telephony.real.url,
        headers={"X-API-Key": DISPATCH_KEY},
        timeout=aiohttp.ClientTimeout(total=60),
    ) as session:
        yield session


async def shown(n8n: aiohttp.ClientSession, call_id: str, wanted: Callable[[Any], bool]) -> Any:
    """The call, once it is as `wanted`; see `call_once`."""
    url = f"/livekit-api/calls/{call_id}"
    return await call_once(n8n, url, wanted, limit=DEADLINE, key=DISPATCH_KEY)
