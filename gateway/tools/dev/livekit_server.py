"""How to start a `livekit-server` on loopback: ports, keys, configuration."""

import contextlib
import errno
import json
import random
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.settings import LOOPBACK

#: Below the range that Linux and IANA use for the local ports of connections (ip(7), RFC 6335).
PORTS = range(20_000, 32_000)


@dataclass(frozen=True)
class LiveKitServer:
    """A server on loopback, without Redis, that sends its webhooks to `webhook_url`."""

    binary: Path
    port: int
    rtc_tcp_port: int
    rtc_udp_port: int
    webhook_url: str
    key: str = "devkey"
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def url(self) -> str:
        return f"ws://{LOOPBACK}:{self.port}"

    @property
    def command(self) -> list[str]:
        # An older server on PATH starts in spite of settings that it does not know.
        return [str(self.binary), "--disable-strict-config"]

    @property
    def env(self) -> Mapping[str, str]:
        """The configuration as an environment variable, so that no file contains the secret."""
        return {"LIVEKIT_CONFIG": json.dumps(self._settings())}

    def _settings(self) -> Mapping[str, object]:
        return {
            "port": self.port,
            "bind_addresses": [LOOPBACK],
            "rtc": {
                "tcp_port": self.rtc_tcp_port,
                "udp_port": self.rtc_udp_port,
                "node_ip": LOOPBACK,
                "use_external_ip": False,
                "enable_loopback_candidate": True,
            },
            # An INVITE for a room that the gateway has not created is refused.
            "room": {"auto_create": False},
            # By default no worker gets a job while this machine's CPU is busier than 70 %.
            "agents": {"target_load": 100},
            "keys": {self.key: self.secret},
            "webhook": {"api_key": self.key, "urls": [self.webhook_url]},
            "logging": {"level": "error", "json": False},
        }


def local_server(binary: Path, *, webhook_url: str, preferred_port: int = 0) -> LiveKitServer:
    """A server on ports that are free now, on `preferred_port` if that is free."""
    port = free_port(preferred=preferred_port)
    return LiveKitServer(binary, port, free_port(), free_port(socket.SOCK_DGRAM), webhook_url)


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, *, preferred: int = 0) -> int:
    """A port on loopback that is free now; `preferred` if that is free.

    Never one that the system would give to a connection before the caller binds it.
    """
    ports = random.sample(PORTS, len(PORTS))
    for port in [preferred, *ports] if preferred else ports:
        with socket.socket(type=kind) as probe:
            if kind is socket.SOCK_STREAM:  # a port that was closed a minute ago counts as free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                return port
    raise OSError(errno.EADDRINUSE, "no port is free")
