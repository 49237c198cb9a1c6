"""A real n8n on loopback, and what its editor does: import, choose credentials, execute, look."""

import asyncio
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from gateway.config.settings import LOOPBACK
from gateway.tools.dev.processes import Process
from tests.ports import free_port

MANIFEST = Path(__file__).parent / "package.json"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
#: What n8n says once it serves, and how long that may take, in s.
READY = "Editor is now accessible"
READY_LIMIT = 120.0
OWNER = {
    "email": "owner@example.com",
    "firstName": "Test",
    "lastName": "Owner",
    "password": "Correct1-horse-battery",
}

#: The statuses of an execution that is over.
DONE = ("success", "error", "crashed")

JSON = dict[str, Any]


class NoN8n(Exception):
    """n8n is not installed; the text says what to do."""


@dataclass(frozen=True)
class N8n:
    """One installed n8n with a database of its own in `folder`."""

    binary: Path
    folder: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def env(self) -> Mapping[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("N8N_", "DB_"))}
        return {
            **kept,
            "DB_SQLITE_POOL_SIZE": "1",  # without one, status and data are not written as one
            "N8N_USER_FOLDER": str(self.folder),
            "N8N_LISTEN_ADDRESS": LOOPBACK,
            "N8N_PORT": str(self.port),
            "N8N_SECURE_COOKIE": "false",
            "N8N_EXPRESSION_ENGINE": "legacy",
            "N8N_RUNNERS_ENABLED": "false",
            "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
            "N8N_DIAGNOSTICS_ENABLED": "false",
            "N8N_DYNAMIC_BANNERS_ENABLED": "false",
            "N8N_ENFORCE_SETTINGS_FILE_PERMISSIONS": "true",
            "N8N_PERSONALIZATION_ENABLED": "false",
            "N8N_TEMPLATES_ENABLED": "false",
            "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            "WEBHOOK_URL": f"{self.url}/",
        }

    def command(self, *words: str) -> str:
        """What `n8n WORDS` prints."""
        result = subprocess.run(
            [self.binary, *words],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=READY_LIMIT,
            check=False,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    @contextmanager
    def started(self) -> Iterator[None]:
        n8n = Process("n8n", [str(self.binary), "start"], self.env)
        try:
            n8n.wait_for(READY, limit=READY_LIMIT)
            yield
        finally:
            n8n.stop()


def installed(folder: Path) -> N8n:
    """The n8n that `install.sh` put there. Raises NoN8n."""
    version = json.loads(MANIFEST.read_text())["dependencies"]["n8n"]
    place = CACHE / "jambonz-livekit-gateway" / f"n8n-{version}"
    if not (place / ".installed").exists() or not shutil.which("node"):
        raise NoN8n(f"n8n {version} is not installed: sh tests/n8n/install.sh (1.7 GB)")
    return N8n(place / "node_modules" / ".bin" / "n8n", folder, free_port())


def owner_cookie(n8n: N8n) -> str:
    """Make the owner of a new n8n; the cookie that signs them in."""
    asked = urllib.request.Request(  # noqa: S310 - our own loopback URL
        f"{n8n.url}/rest/owner/setup",
        data=json.dumps(OWNER).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310
        cookie: str = answer.headers["Set-Cookie"]
    return cookie.split(";", maxsplit=1)[0]


@dataclass(frozen=True)
class Run:
    """One execution as n8n kept it."""

    id: str
    status: str
    nodes: JSON
    error: JSON | None

    def output(self, node: str) -> JSON:
        """The first item that `node` put out, in its last run."""
        outputs = self.nodes[node][-1]["data"]["main"]
        item = next(items[0] for items in outputs if items)
        content: JSON = item["json"]
        return content


class Editor:
    """n8n's own API, as its editor in the browser uses it."""

    def __init__(self, n8n: N8n, session: aiohttp.ClientSession) -> None:
        self._url = n8n.url
        self._session = session

    @classmethod
    @asynccontextmanager
    async def opened(cls, n8n: N8n, cookie: str) -> AsyncIterator["Editor"]:
        """As the owner, whom `owner_cookie` gave a cookie."""
        limit = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(headers={"Cookie": cookie}, timeout=limit) as session:
            yield cls(n8n, session)

    async def header_auth(self, name: str, value: str) -> JSON:
        """A new Header Auth credential, as a node refers to it."""
        data = {"name": name, "value": value}
        asked = {"name": f"{name} for tests", "type": "httpHeaderAuth", "data": data}
        made = await self._ask("POST", "credentials", asked)
        return {"httpHeaderAuth": {"id": made["id"], "name": made["name"]}}

    async def workflow(self, workflow_id: str) -> JSON:
        found: JSON = await self._ask("GET", f"workflows/{workflow_id}")
        return found

    async def activate(self, workflow: JSON) -> None:
        """Save `workflow` and let its trigger listen."""
        path = f"workflows/{workflow['id']}"
        content = {key: workflow[key] for key in ("name", "nodes", "connections", "settings")}
        saved = await self._ask("PATCH", path, {**content, "versionId": workflow["versionId"]})
        await self._ask("POST", f"{path}/activate", {"versionId": saved["versionId"]})

    async def execute(self, workflow: JSON, trigger: str = "Start") -> str:
        """Press the button: the id of the execution that began."""
        asked = {"workflowData": workflow, "triggerToStartFrom": {"name": trigger}}
        begun = await self._ask("POST", f"workflows/{workflow['id']}/run", asked)
        execution_id: str = begun["executionId"]
        return execution_id

    async def executions(self, workflow_id: str) -> list[str]:
        """The ids of all executions of a workflow, oldest first."""
        wanted = json.dumps({"workflowId": workflow_id})
        found = await self._ask("GET", f"executions?filter={wanted}")
        return sorted((one["id"] for one in found["results"]), key=int)

    async def until(self, execution_id: str, *statuses: str, limit: float = 30.0) -> Run:
        """The execution, once it has one of `statuses`."""
        deadline = time.monotonic() + limit
        path = f"executions/{execution_id}"
        while (shown := await self._ask("GET", path))["status"] not in statuses:
            assert time.monotonic() < deadline, f"execution {execution_id} still {shown['status']}"
            await asyncio.sleep(0.1)
        result = unflatted(shown["data"])["resultData"]
        return Run(execution_id, shown["status"], result["runData"], result.get("error"))

    async def _ask(self, method: str, path: str, body: JSON | None = None) -> Any:
        async with self._session.request(method, f"{self._url}/rest/{path}", json=body) as answer:
            assert answer.status == 200, f"{method} {path}: {answer.status} {await answer.text()}"
            return (await answer.json())["data"]


def unflatted(text: str) -> Any:
    """What n8n keeps of an execution: a table whose strings are places in the same table."""
    table: list[Any] = json.loads(text)

    def at(place: str) -> Any:
        entry = table[int(place)]
        if isinstance(entry, dict):
            return {key: resolved(value) for key, value in entry.items()}
        if isinstance(entry, list):
            return [resolved(value) for value in entry]
        return entry

    def resolved(value: Any) -> Any:
        return at(value) if isinstance(value, str) else value

    return at("0")
