"""The settings of the servers of real telephony: LiveKit's, livekit-sip's and the gateways'."""

import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.config.settings import LOOPBACK
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET
from tests.ports import free_port
from tests.sip.network import Network

KEY = "devkey"
SIP_PORT = 5060
SIPS_PORT = 5061
TRUNK_NUMBER = "+15550100"
#: Where the gateway with the strategy `room` sends callers for whom no agent comes.
FALLBACK = '[{phone: "+15550107", trunk: my-carrier}, {sip: "sip:desk@pbx.example.com"}]'
#: What that with the strategy `participant` says to them: it has answered their calls already.
FALLBACK_TEXT = "Please call again later."
#: The targets that callers may be transferred to.
ALLOWED_TARGETS = "+61491570*"
#: Whom the gateway with the strategy `room` may call: everybody, also at this network's hosts.
ALLOWED_DESTINATIONS = "*,sip:*@10.77.*"


def livekit_settings(
    network: Network,
    *,
    port: int,
    redis: str,
    secret: str,
    webhook_urls: Sequence[str],
    auto_create: bool,
) -> Mapping[str, Any]:
    """`auto_create`: LiveKit creates a room for each INVITE."""
    return {
        "port": port,
        "bind_addresses": [network.host_address],
        "redis": {"address": redis},
        "rtc": {
            "tcp_port": free_port(),
            "udp_port": free_udp_port(network.host_address),
            "node_ip": network.host_address,
            "use_external_ip": False,
            "ips": {"includes": [network.subnet]},
            # Nothing answers there; without this setting clients would use one on the internet.
            "stun_servers": [f"{network.host_address}:9"],
        },
        # By default a worker gets no job while its machine is busier than 70 %.
        "agents": {"target_load": 100},
        "room": {"auto_create": auto_create},
        "keys": {KEY: secret},
        "webhook": {"api_key": KEY, "urls": list(webhook_urls)},
        "logging": {"level": "error", "json": False},
    }


def sip_settings(url: str, *, redis: str, secret: str, certificate: Path) -> Mapping[str, Any]:
    """livekit-sip's, for the LiveKit at `url`; `certificate` is a file with the key as well."""
    return {
        "api_key": KEY,
        "api_secret": secret,
        "ws_url": url,
        "redis": {"address": redis},
        "sip_port": SIP_PORT,
        "tls": {
            "port": SIPS_PORT,
            "certs": [{"cert_file": str(certificate), "key_file": str(certificate)}],
        },
        "rtp_port": "10000-10100",
        "use_external_ip": False,
        # By default it refuses calls while the machine is busy.
        "max_cpu_utilization": 1,
        "logging": {"level": "debug", "json": False},
    }


def gateway_env(url: str, *, secret: str, network: Network, carrier_port: int) -> dict[str, str]:
    """What the gateways share: LiveKit at `url`, trunks to and from the carrier."""
    return {
        "LIVEKIT_URL": url,
        "LIVEKIT_API_KEY": KEY,
        "LIVEKIT_API_SECRET": secret,
        "LIVEKIT_SIP_HOST": network.address,
        "GATEWAY_API_KEYS": f"n8n:dispatch:{DISPATCH_KEY}",
        "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "GATEWAY__LIVEKIT__SIP_TRANSPORT": "udp",
        "GATEWAY__TRUNKS__INBOUND_ADDRESSES": network.host_address,
        "GATEWAY__TRUNKS__OUTBOUND_ADDRESS": f"{network.host_address}:{carrier_port}",
        "GATEWAY__TRUNKS__OUTBOUND_TRANSPORT": "udp",
        "GATEWAY__TRUNKS__OUTBOUND_NUMBERS": TRUNK_NUMBER,
        "GATEWAY__INBOUND__AGENT_TIMEOUT": "3",
        "GATEWAY__TRANSFER__ALLOWED": ALLOWED_TARGETS,
        "GATEWAY__TRANSFER__TRUNK": "my-carrier",
        "GATEWAY__MONITOR__INTERVAL": "0.1",
    }


def room_gateway_env(port: int) -> dict[str, str]:
    """What the gateway with the strategy `room` has besides."""
    return {
        "PORT": str(port),
        "GATEWAY_PUBLIC_URL": f"http://{LOOPBACK}:{port}",
        "GATEWAY__INBOUND__FALLBACK": FALLBACK,
        "GATEWAY__OUTBOUND__ALLOWED": ALLOWED_DESTINATIONS,
    }


def participant_gateway_env(port: int) -> dict[str, str]:
    """What the gateway with the strategy `participant` has besides."""
    return {
        "PORT": str(port),
        "GATEWAY__INBOUND__STRATEGY": "participant",
        "GATEWAY__INBOUND__FALLBACK": f'[{{say: "{FALLBACK_TEXT}"}}]',
    }


def free_udp_port(address: str) -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port
