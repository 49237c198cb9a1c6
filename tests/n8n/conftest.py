"""A real n8n with the shipped workflows in it, started once; a gateway for them to ask."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from tests.conftest import DISPATCH_KEY
from tests.n8n.editor import DONE, JSON, Editor, N8n, NoN8n, Run, installed, owner_cookie
from tests.n8n.scripted_gateway import ScriptedGateway

T = TypeVar("T")

WORKFLOWS = Path(__file__).parents[2] / "deploy" / "n8n"
DISPATCH, DISPATCH_AND_WAIT, CALL_EVENTS = NAMES = (
    "1-dispatch",
    "2-dispatch-and-wait",
    "3-call-events",
)
CALLBACK_HEADER = {"X-Callback-Key": "callback-secret"}


def shipped(name: str) -> JSON:
    content: JSON = json.loads((WORKFLOWS / f"{name}.json").read_text())
    return content


def node(workflow: JSON, name: str) -> JSON:
    return next(one for one in workflow["nodes"] if one["name"] == name)


@dataclass(frozen=True)
class Started:
    """n8n, the workflows it has imported, by id, and the cookie of its owner."""

    n8n: N8n
    imported: dict[str, JSON]
    cookie: str


@pytest.fixture(scope="session")
def started(server_process: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Skipped without an installed n8n, in CI too: it is 1.7 GB, and minutes of tests."""
    if not os.environ.get("WITH_N8N"):
        pytest.skip("a real n8n is run by `make test-n8n`")
    try:
        n8n = installed(tmp_path_factory.mktemp("n8n"))
    except NoN8n as error:
        pytest.skip(str(error))
    for name in NAMES:
        said = n8n.command("import:workflow", f"--input={WORKFLOWS / name}.json")
        assert "Successfully imported 1 workflow." in said, said
    exported = n8n.folder / "exported.json"
    n8n.command("export:workflow", "--all", f"--output={exported}")
    imported = {one["id"]: one for one in json.loads(exported.read_text())}
    with n8n.started():
        yield Started(n8n, imported, owner_cookie(n8n))


@pytest.fixture
async def editor(started: Started) -> AsyncIterator[Editor]:
    async with Editor.opened(started.n8n, started.cookie) as editor:
        yield editor


@pytest.fixture
async def gateway_stub() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway().serving() as gateway:
        yield gateway


@dataclass(frozen=True)
class User:
    """Does what the sticky notes say, and nothing else."""

    editor: Editor
    credentials: dict[str, JSON]

    async def sets_up(self, name: str, gateway_url: str = "") -> JSON:
        """The workflow of a shipped file, its credentials chosen, its gateway named."""
        workflow = await self.editor.workflow(shipped(name)["id"])
        for one in workflow["nodes"]:
            if one["name"] in self.credentials:
                one["credentials"] = self.credentials[one["name"]]
            if one["name"] == "Call":
                set_field(one, "gateway_url", gateway_url)
        return workflow

    async def executes(self, workflow: JSON) -> Run:
        """The whole execution, to its end."""
        return await self.editor.until(await self.editor.execute(workflow), *DONE)

    async def later(self, workflow: JSON, known: list[str], number: int) -> list[Run]:
        """`number` executions that came after the `known` ones, each to its end."""

        async def found() -> list[str] | None:
            more = (await self.editor.executions(workflow["id"]))[len(known) :]
            return more if len(more) >= number else None

        return [await self.editor.until(one, *DONE) for one in await eventually(found)]


@pytest.fixture
async def user(editor: Editor) -> User:
    callback = await editor.header_auth(*next(iter(CALLBACK_HEADER.items())))
    dispatch = await editor.header_auth("X-API-Key", DISPATCH_KEY)
    chosen = {"Dispatch": dispatch, "Until it ended": callback, "Gateway calls": callback}
    return User(editor, chosen)


async def eventually(look: Callable[[], Awaitable[T | None]], *, limit: float = 20.0) -> T:
    """What `look` finds, once it finds something."""
    async with asyncio.timeout(limit):
        while (found := await look()) is None:
            await asyncio.sleep(0.05)
    return found


def set_field(node: JSON, name: str, value: object) -> None:
    """Fill in a field of a Set node."""
    fields = node["parameters"]["assignments"]["assignments"]
    next(field for field in fields if field["name"] == name)["value"] = value


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session
