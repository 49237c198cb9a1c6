"""A `livekit-server` for this machine: the one on PATH, or one built with Go and cached."""

import contextlib
import errno
import hashlib
import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway.config.settings import LOOPBACK
from gateway.errors import GatewayError

MODULE = Path(__file__).parent / "livekit-server"
COMMAND = "github.com/livekit/livekit-server/cmd/server"
#: A first build downloads and compiles some hundred packages, in s.
BUILD_LIMIT = 1200
#: Ports that systems leave alone when they choose one for a connection (ip(7), IANA).
OWN_PORTS = range(20_000, 32_000)

WAYS_TO_GET_ONE = """\
there is no LiveKit to be had; one of these gives you one:
  1. set LIVEKIT_URL, LIVEKIT_API_KEY and LIVEKIT_API_SECRET in .env.local (LiveKit Cloud, or a
     server of yours)
  2. put `livekit-server` on PATH (https://github.com/livekit/livekit/releases)
  3. install Go 1.26 or newer: it is then built here, once"""


class NoLiveKit(GatewayError):
    """No server can be had; the text says what to do."""


@dataclass(frozen=True)
class LiveKitServer:
    """How to start one server on loopback, without Redis, its webhooks sent to `webhook_url`."""

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
        # An older server on PATH may not know each setting; it need not.
        return [str(self.binary), "--disable-strict-config"]

    @property
    def env(self) -> Mapping[str, str]:
        """Its configuration, by environment so that no secret lies in a file."""
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
            # What keeps an INVITE for a room that nobody registered from making one.
            "room": {"auto_create": False},
            # Else no worker gets a job while this one machine is busier than 70 %.
            "agents": {"target_load": 100},
            "keys": {self.key: self.secret},
            "webhook": {"api_key": self.key, "urls": [self.webhook_url]},
            "logging": {"level": "error", "json": False},
        }


def local_server(binary: Path, *, webhook_url: str, preferred_port: int = 0) -> LiveKitServer:
    """A server on ports that are free now; `preferred_port` is taken if it is one of them."""
    port = free_port(preferred=preferred_port)
    return LiveKitServer(binary, port, free_port(), free_port(socket.SOCK_DGRAM), webhook_url)


def find_or_build(say: Callable[[str], object]) -> Path:
    """The binary from PATH, the cache, or a build. Raises NoLiveKit."""
    on_path = shutil.which("livekit-server")
    if on_path:
        return Path(on_path)
    built = _cache() / f"livekit-server-{_fingerprint()}"
    if not built.is_file():
        if not shutil.which("go"):
            raise NoLiveKit(WAYS_TO_GET_ONE)
        say("building livekit-server with Go, once; this takes a few minutes ...")
        _build(built)
    return built


def _build(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        for name in ("go.mod", "go.sum"):
            shutil.copy(MODULE / name, folder)
        try:
            subprocess.run(  # noqa: S603 - fixed words and our own paths
                ["go", "build", "-o", f"{folder}/livekit-server", COMMAND],  # noqa: S607
                cwd=folder,
                check=True,
                capture_output=True,
                text=True,
                timeout=BUILD_LIMIT,
            )
        except subprocess.SubprocessError as error:
            output = str(getattr(error, "stderr", "") or error).strip().splitlines()
            reason = output[-1] if output else "no output"
            raise NoLiveKit(
                f"livekit-server does not build: {reason}\n{WAYS_TO_GET_ONE}"
            ) from error
        # Into place in one step: a second build beside this one cannot see half a file.
        os.replace(f"{folder}/livekit-server", target)


def _fingerprint() -> str:
    return hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:12]


def _cache() -> Path:
    return Path.home() / ".cache" / "jambonz-livekit-gateway"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM, *, preferred: int = 0) -> int:
    """A port on loopback that is free now; `preferred` if it is.

    Not one that the system would choose: before it is used, a connection might have it.
    """
    ports = random.sample(OWN_PORTS, len(OWN_PORTS))
    for port in [preferred, *ports] if preferred else ports:
        with socket.socket(type=kind) as probe:
            if kind is socket.SOCK_STREAM:  # one that was left a minute ago is free
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind((LOOPBACK, port))
                return port
    raise OSError(errno.EADDRINUSE, "no port is free")
