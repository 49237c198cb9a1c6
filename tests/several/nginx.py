"""A real nginx with the shipped configuration; folders, ports and addresses are the test's."""

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
#: What nginx needs around the shipped file; it writes to one folder only.
NGINX_CONF = """\
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
#: A client's address that the shipped configuration does not allow.
UNKNOWN_ADDRESS = "127.0.0.2"


@dataclass(frozen=True)
class NginxConfig:
    """`gateways` are the ports of the upstream servers."""

    folder: Path
    port: int
    gateways: tuple[int, int]

    @property
    def url(self) -> str:
        return f"https://{LOOPBACK}:{self.port}"

    @property
    def command(self) -> list[str]:
        # Until it has read the configuration it writes messages to stderr.
        return ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", f"{self.folder}/nginx.conf"]

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=f"{self.folder}/certificate.pem")

    @property
    def access_log(self) -> Sequence[str]:
        """Its lines."""
        return (self.folder / "access.log").read_text().splitlines()

    def write(self, *, down: int | None = None) -> None:
        """Write the files; the gateway on port `down` gets no requests."""
        self.folder.joinpath("nginx.conf").write_text(NGINX_CONF.format(folder=self.folder))
        self.folder.joinpath("gateway.conf").write_text(self._adapted(down))

    def check(self) -> str:
        """The output of `nginx -t`."""
        process = subprocess.run(
            [*self.command, "-t"], check=False, capture_output=True, text=True, timeout=30
        )
        return process.stderr

    def _adapted(self, down: int | None) -> str:
        """The shipped file with the test's addresses and folders."""
        text = SHIPPED.read_text()
        for shipped, adapted in {
            **self._upstream("192.0.2.11:8000", self.gateways[0], down),
            **self._upstream("192.0.2.12:8000", self.gateways[1], down),
            "listen 443 ssl;": f"listen {LOOPBACK}:{self.port} ssl;",
            "/etc/ssl/gateway/fullchain.pem": f"{self.folder}/certificate.pem",
            "/etc/ssl/gateway/key.pem": f"{self.folder}/key.pem",
            "/var/log/nginx/gateway.log": f"{self.folder}/access.log",
            "/var/log/nginx/gateway-error.log": f"{self.folder}/error.log",
            "203.0.113.0/28": f"{LOOPBACK}/32",
        }.items():
            assert shipped in text, f"{SHIPPED.name} does not contain {shipped}"
            text = text.replace(shipped, adapted)
        return text

    def _upstream(self, shipped: str, port: int, down: int | None) -> dict[str, str]:
        return {f"server {shipped} ": f"server {LOOPBACK}:{port} {'down ' if port == down else ''}"}


def configured_nginx(folder: Path, gateways: tuple[int, int]) -> NginxConfig:
    """A configuration whose files are written, with a certificate for loopback."""
    for program in ("nginx", "openssl"):
        if not shutil.which(program):
            skip_unless_ci(f"{program} is not installed: install nginx-light and openssl")
    subject = ["-subj", f"/CN={LOOPBACK}", "-addext", f"subjectAltName=IP:{LOOPBACK}"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-days", "2", *key, *subject, *files],
        check=True,
        capture_output=True,
        timeout=30,
    )
    config = NginxConfig(folder, free_port(), gateways)
    config.write()
    return config


class Nginx:
    """An nginx that accepts requests."""

    def __init__(self, config: NginxConfig) -> None:
        self.config = config
        self._process = Process("nginx", config.command, os.environ)
        deadline = time.monotonic() + READY_LIMIT
        while not _accepts_connections(config.port):
            self._process.check()
            if time.monotonic() > deadline:
                raise self._process.failed("does not listen")
            time.sleep(0.02)

    def stop(self) -> None:
        self._process.stop()

    async def reload(self, *, down: int | None = None) -> None:
        """Reload the configuration, as an operator does to take the gateway on port `down` out.

        Returns once no worker process has the old one.
        """
        before = self._workers()
        self.config.write(down=down)
        command = [*self.config.command, "-s", "reload"]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=30)
        async with asyncio.timeout(READY_LIMIT):
            while before & self._workers() or not self._workers():
                await asyncio.sleep(0.02)

    def _workers(self) -> set[int]:
        return {process.pid for process in psutil.Process(self._process.pid).children()}


def _accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0
