"""A real n8n on loopback, installed by install.sh, with a database of its own."""

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.processes import Process
from tests.ports import free_port

#: The versions that install.sh installs.
VERSIONS: Sequence[str] = json.loads((Path(__file__).parent / "package.json").read_text())[
    "versions"
]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
#: n8n prints this once it serves; how long that, or one of its commands, may take, in s.
READY = "Editor is now accessible"
READY_LIMIT = 120.0
OWNER = {
    "email": "owner@example.com",
    "firstName": "Test",
    "lastName": "Owner",
    "password": "Correct1-horse-battery",
}


class NoN8n(Exception):
    """n8n is not installed; the text says what to do."""


@dataclass(frozen=True)
class N8n:
    """An n8n that has its files, with its database, in `folder`."""

    version: str
    binary: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def env(self) -> Mapping[str, str]:
        outer = {k: v for k, v in os.environ.items() if not k.startswith(("N8N_", "DB_"))}
        return {
            **outer,
            "DB_SQLITE_POOL_SIZE": "1",  # else an execution's status is readable before its data
            "N8N_USER_FOLDER": str(self.folder),
            "N8N_LISTEN_ADDRESS": LOOPBACK,
            "N8N_PORT": str(self.port),
            "N8N_SECURE_COOKIE": "false",
            "N8N_EXPRESSION_ENGINE": "legacy",
            "N8N_RUNNERS_ENABLED": "false",  # 2.x has them always
            "N8N_RUNNERS_BROKER_PORT": str(free_port()),
            "N8N_VERIFIED_PACKAGES_ENABLED": "false",
            "N8N_DIAGNOSTICS_ENABLED": "false",
            "N8N_DYNAMIC_BANNERS_ENABLED": "false",
            "N8N_ENFORCE_SETTINGS_FILE_PERMISSIONS": "true",
            "N8N_PERSONALIZATION_ENABLED": "false",
            "N8N_TEMPLATES_ENABLED": "false",
            "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            "WEBHOOK_URL": f"{self.url}/",
        }

    def command(self, *arguments: str) -> str:
        """Run `n8n` with these arguments; returns its output."""
        result = subprocess.run(
            [self.binary, *arguments],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=READY_LIMIT,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    @contextmanager
    def serving(self) -> Iterator["Server"]:
        server = Server(self)
        try:
            server.start()
            yield server
        finally:
            server.stop()


class Server:
    """`n8n start`: it can be stopped and started again, with the same database and port."""

    def __init__(self, n8n: N8n) -> None:
        self._n8n = n8n
        self._process: Process | None = None

    def start(self) -> None:
        self._process = Process("n8n", [str(self._n8n.binary), "start"], self._n8n.env)
        self._process.wait_for(READY, limit=READY_LIMIT)

    def stop(self) -> None:
        if self._process:
            self._process.stop()
            self._process = None

    @property
    def memory(self) -> float:
        """The memory of n8n's process without its task runner's, in MB."""
        assert self._process
        resident: int = psutil.Process(self._process.pid).memory_info().rss
        return resident / 2**20


def installed_n8n(version: str, folder: Path) -> N8n:
    """The n8n that install.sh has installed. Raises NoN8n."""
    target = CACHE / "jambonz-livekit-gateway" / f"n8n-{version}"
    if not (target / ".installed").exists() or not shutil.which("node"):
        raise NoN8n(f"n8n {version} is not installed: sh tests/n8n/install.sh (1.7 GB)")
    return N8n(version, target / "node_modules" / ".bin" / "n8n", folder, free_port())


def create_owner(n8n: N8n) -> str:
    """Create the owner account of a new n8n; returns its session cookie."""
    request = urllib.request.Request(  # noqa: S310 - a URL on loopback
        f"{n8n.url}/rest/owner/setup",
        data=json.dumps(OWNER).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - see above
        cookie: str = response.headers["Set-Cookie"]
    return cookie.split(";", maxsplit=1)[0]
