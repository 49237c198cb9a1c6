"""Real servers for the doctor to check, started once, and a SIP host that answers OPTIONS."""

import asyncio
import os
import socketserver
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.config.loader import build_config
from gateway.config.settings import LOOPBACK, Config
from gateway.livekit.client import LiveKit
from gateway.livekit.trunks import Trunks
from gateway.tools.dev.livekit_server import LiveKitServer
from gateway.tools.dev.processes import python
from gateway.tools.doctor.check import Finding
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.run import all_checks
from tests.conftest import READ_KEY, WEBHOOK_SECRET
from tests.livekit.conftest import RealServers, real_servers
from tests.livekit.server import livekit_server, redis_server
from tests.ports import free_port

#: Where the tests' Jambonz sends INVITEs from (RFC 5737).
SBC = "192.0.2.10"


@dataclass(frozen=True)
class Stack:
    """LiveKit, gateway and worker; `env` is the gateway's environment."""

    env: Mapping[str, str]
    real: RealServers

    def config(self, **changes: str) -> Config:
        """The gateway's configuration with `changes` of its environment."""
        return build_config({}, {**self.env, **changes})


async def run_check(
    config: Config, check_id: str, *, env: Mapping[str, str] | None = None, url: str = ""
) -> Finding:
    """The finding of one check, without those that it needs."""
    env = {"GATEWAY_API_KEYS": f"ops:read:{READ_KEY}", **(env or {})}
    async with Context.opened(config, env, url or config.own_url) as context:
        check = next(check for check in all_checks(context) if check.id == check_id)
        return await check.run()


@pytest.fixture(scope="session")
def stack(sip_host: str, server_process: None) -> Iterator[Stack]:
    """LiveKit with Redis, a gateway and a worker; `setup --apply` has run."""
    port = free_port()
    with redis_server() as redis, livekit_server(webhook_port=port, redis=redis) as server:
        env = {
            "PATH": os.environ["PATH"],
            "HISTORY_URL": os.environ["HISTORY_URL"],
            "LIVEKIT_URL": server.url,
            "LIVEKIT_API_KEY": server.key,
            "LIVEKIT_API_SECRET": server.secret,
            "LIVEKIT_SIP_HOST": sip_host,
            "JAMBONZ_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "GATEWAY_API_KEYS": f"ops:read:{READ_KEY}",
            "GATEWAY_PUBLIC_URL": f"http://{LOOPBACK}:{port}",
            "GATEWAY__TRUNKS__INBOUND_ADDRESSES": f"{SBC},198.51.100.0/24",
            "GATEWAY__TRUNKS__OUTBOUND_ADDRESS": f"{LOOPBACK}:5080",
            "GATEWAY__TRUNKS__OUTBOUND_NUMBERS": "+15550100",
            "PORT": str(port),
            "AGENT_HTTP_PORT": str(free_port()),
        }
        with real_servers(**env) as real:
            status, output = asyncio.run(run_gateway(["setup", "--apply"], env))
            assert status == 0, output
            yield Stack(env, real)


@pytest.fixture
async def trunks(stack: Stack) -> AsyncIterator[Trunks]:
    """LiveKit's trunks and rules; what a test changes is undone after it."""
    settings = stack.real.config.livekit
    async with LiveKit.connected(
        settings.url, settings.api_key, settings.api_secret, timeout=5
    ) as livekit:
        trunks = Trunks(livekit)
        before = await trunks.listed()
        yield trunks
        now = {item.id: item for item in await trunks.listed()}
        for created in now.keys() - {item.id for item in before}:
            await trunks.delete(now[created])
        for item in before:
            await (trunks.replace(item) if item.id in now else trunks.create(item))


@pytest.fixture(scope="session")
def livekit_without_redis(server_process: None) -> Iterator[LiveKitServer]:
    with livekit_server() as server:
        yield server


async def run_gateway(words: list[str], env: Mapping[str, str]) -> tuple[int | None, str]:
    """Run `python -m gateway`; returns the exit code and standard output."""
    process = await asyncio.create_subprocess_exec(
        *python("-m", "gateway", *words),
        env=dict(env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(40):
        out, err = await process.communicate()
    assert not err, err.decode()
    return process.returncode, out.decode()


class _UdpHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        sock.sendto(_response(data), self.client_address)


class _TcpHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        lines = []
        while (line := self.rfile.readline()) not in {b"\r\n", b""}:
            lines.append(line)
        self.wfile.write(_response(b"".join(lines)))


def _response(request: bytes) -> bytes:
    """200 OK to an OPTIONS request, with the headers that RFC 3261 §8.2.6 requires."""
    first, *headers = request.decode().strip().split("\r\n")
    assert first.startswith("OPTIONS sip:"), first
    names = ("Via", "From", "To", "Call-ID", "CSeq")
    finding = [line for line in headers if line.partition(":")[0] in names]
    assert len(finding) == len(names), headers
    return "\r\n".join(["SIP/2.0 200 OK", *finding, "Content-Length: 0", "", ""]).encode()


@pytest.fixture(scope="session")
def sip_host() -> Iterator[str]:
    """`host:port` of a server that answers OPTIONS over UDP and TCP."""
    with socketserver.ThreadingTCPServer((LOOPBACK, 0), _TcpHandler) as tcp:
        address: Any = tcp.server_address
        with socketserver.ThreadingUDPServer(address, _UdpHandler) as udp:
            for server in (tcp, udp):
                threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"{LOOPBACK}:{address[1]}"
            tcp.shutdown()
            udp.shutdown()
