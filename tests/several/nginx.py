"""A real nginx with the configuration that is shipped; places and addresses are the test's."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.processes import Process
from gateway.tools.dev.stack import READY_LIMIT
from tests.conftest import skip_unless_ci
from tests.ports import free_port

SHIPPED = Path(__file__).parents[2] / "deploy" / "nginx" / "gateway.conf"
#: nginx's own frame around the shipped file, everything in one folder.
FRAME = """\
daemon off;
worker_processes 2;
error_log {folder}/error.log notice;
pid {folder}/nginx.pid;
events {{ worker_connections 1024; }}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/gateway.conf;
}}
"""
#: Somebody of whom the configuration under test knows nothing.
STRANGER = "127.0.0.2"


@dataclass(frozen=True)
class Nginx:
    """`gateways` are the ports it balances over."""

    folder: Path
    port: int
    gateways: tuple[int, int]

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def command(self) -> list[str]:
        # Its first messages go to stderr, before it has read where its log is.
        return ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", f"{self.folder}/nginx.conf"]

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=f"{self.folder}/certificate.pem")

    @property
    def served(self) -> Sequence[str]:
        """The lines of its access log."""
        return (self.folder / "access.log").read_text().splitlines()

    def write(self, *, down: int | None = None) -> None:
        """Its configuration; the gateway on port `down` is taken out of it."""
        self.folder.joinpath("nginx.conf").write_text(FRAME.format(folder=self.folder))
        self.folder.joinpath("gateway.conf").write_text(self._substituted(down))

    def _substituted(self, down: int | None) -> str:
        text = SHIPPED.read_text()
        for there, here in {
            **self._upstream("192.0.2.11:8000", self.gateways[0], down),
            **self._upstream("192.0.2.12:8000", self.gateways[1], down),
            "listen 443 ssl;": f"listen {LOOPBACK}:{self.port} ssl;",
            "/etc/ssl/gateway/fullchain.pem": f"{self.folder}/certificate.pem",
            "/etc/ssl/gateway/key.pem": f"{self.folder}/key.pem",
            "/var/log/nginx/gateway.log": f"{self.folder}/access.log",
            "/var/log/nginx/gateway-error.log": f"{self.folder}/error.log",
            "203.0.113.0/28": f"{LOOPBACK}/32",
        }.items():
            assert there in text, f"{SHIPPED.name} has no {there} any more"
            text = text.replace(there, here)
        return text

    def _upstream(self, shipped: str, port: int, down: int | None) -> dict[str, str]:
        return {f"server {shipped} ": f"server {LOOPBACK}:{port} {'down ' if port == down else ''}"}

    def check(self) -> str:
        """What `nginx -t` says of it."""
        ran = subprocess.run(
            [*self.command, "-t"], check=False, capture_output=True, text=True, timeout=30
        )
        return ran.stderr


def written(folder: Path, gateways: tuple[int, int]) -> Nginx:
    """Its files, with a certificate for loopback."""
    for part in ("nginx", "openssl"):
        if not shutil.which(part):
            skip_unless_ci(f"there is no {part}: install nginx-light and openssl")
    subject = ["-subj", f"/CN={LOOPBACK}", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", *key, *subject, *files],
        check=True,
        capture_output=True,
        timeout=30,
    )
    nginx = Nginx(folder, free_port(), gateways)
    nginx.write()
    return nginx


class Running:
    """One that takes requests."""

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx
        self._child = Process("nginx", nginx.command, os.environ)
        deadline = time.monotonic() + READY_LIMIT
        while not _listens(nginx.port):
            self._child.check()
            if time.monotonic() > deadline:
                raise self._child.failed("does not listen")
            time.sleep(0.02)

    def stop(self) -> None:
        self._child.stop()

    async def reload(self, *, down: int | None = None) -> None:
        """As an operator takes a gateway out; returns once only the new configuration serves."""
        before = self._workers()
        self.nginx.write(down=down)
        command = [*self.nginx.command, "-s", "reload"]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=30)
        async with asyncio.timeout(READY_LIMIT):
            while before & self._workers() or not self._workers():
                await asyncio.sleep(0.02)

    def _workers(self) -> set[int]:
        return {process.pid for process in psutil.Process(self._child.pid).children()}


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
