"""A real PostgreSQL in a temporary folder, which a test may stop and start again."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config.settings import LOOPBACK
from tests.conftest import skip_unless_ci
from tests.ports import free_port

#: With characters that a URL has to escape.
PASSWORD = "hush/?#@:%hush"
QUOTED = "hush%2F%3F%23%40%3A%25hush"
USER = "gateway"
#: PostgreSQL refuses to run as root: then its files and processes are this user's.
UNPRIVILEGED = "nobody" if os.getuid() == 0 else None
_SETTINGS = {
    "listen_addresses": LOOPBACK,
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "64MB",
    "max_connections": "50",
}


@dataclass
class Postgres:
    """`url` is of a database that the user owns, with no rights beyond."""

    binaries: Path
    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return self.url_of(USER)

    def url_of(self, database: str, *, user: str = USER, password: str = QUOTED) -> str:
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        settings = {**_SETTINGS, "port": self.port, "unix_socket_directories": self.folder}
        options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, user=UNPRIVILEGED, cwd=self.folder
            )
        deadline = time.monotonic() + 60
        while self.run("pg_isready", check=False).returncode:
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            assert self.process.poll() is None, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """At once, with all connections (SIGQUIT)."""
        if self.process:
            self.process.send_signal(3)
            self.process.wait(60)
            self.process = None

    def run(
        self, binary: str, *arguments: str, check: bool = True
    ) -> subprocess.CompletedProcess[bytes]:
        """One of PostgreSQL's own commands, as its superuser."""
        address = ["-h", str(self.folder), "-p", str(self.port)]
        command = [str(self.binaries / binary), *address, *arguments]
        env = {"PGUSER": "postgres", "PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]}
        return subprocess.run(command, env=env, check=check, capture_output=True, timeout=60)

    def query(self, sql: str, database: str = "postgres") -> str:
        """The result of `sql`, as psql prints it without decoration."""
        return self.run("psql", "-Atqc", sql, database).stdout.decode()

    def create_database(self, name: str) -> str:
        """Its URL."""
        self.query(f"CREATE DATABASE {name} OWNER {USER}")
        return self.url_of(name)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    binaries = _binaries()
    if binaries is None:
        skip_unless_ci("a history that gateways share needs PostgreSQL: install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        if UNPRIVILEGED:
            shutil.chown(folder, UNPRIVILEGED)
        password = folder / "password"
        password.write_text(PASSWORD)
        options = ["-U", "postgres", "-A", "scram-sha-256", "--pwfile", str(password), "-N"]
        subprocess.run(
            [str(binaries / "initdb"), "-D", str(folder / "data"), *options],
            check=True,
            capture_output=True,
            user=UNPRIVILEGED,
            cwd=folder,
        )
        server = Postgres(binaries, folder, free_port())
        try:
            server.start()
            server.query(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
            server.create_database(USER)
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path | None:
    """Debian puts them into a folder of their version, outside PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return versions[-1].parent if versions else None
