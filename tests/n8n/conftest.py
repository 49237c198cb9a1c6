"""A real n8n with the shipped workflows, started once, and gateways for the workflows to call."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest

from tests.api.test_livekit import send
from tests.conftest import CALLBACK_SECRET, DISPATCH_KEY, Client, GatewayStarter
from tests.n8n import node_package
from tests.n8n.editor import ENDED, JSON, Editor, Execution
from tests.n8n.scripted_gateway import ScriptedGateway
from tests.n8n.server import VERSIONS, N8n, NoN8n, Server, create_owner, installed_n8n

T = TypeVar("T")

WORKFLOWS = Path(__file__).parents[2] / "deploy" / "n8n"
DISPATCH, DISPATCH_AND_WAIT, CALL_EVENTS, RECEPTIONIST, CALL_LIST, MCP_TOOLS = NAMES = (
    "1-dispatch",
    "2-dispatch-and-wait",
    "3-call-events",
    "4-receptionist",
    "5-call-list",
    "6-mcp-tools",
)
CALLBACK_HEADER = {"X-Callback-Key": "callback-secret"}
GATEWAY_INPUT = {"node": "Gateway", "type": "main", "index": 0}
START: JSON = {
    "id": "start",
    "name": "Start",
    "type": "n8n-nodes-base.manualTrigger",
    "typeVersion": 1,
    "position": [0, 0],
    "parameters": {},
}


def shipped_workflow(name: str) -> JSON:
    workflow: JSON = json.loads((WORKFLOWS / f"{name}.json").read_text())
    return workflow


def node_of(workflow: JSON, name: str) -> JSON:
    return next(node for node in workflow["nodes"] if node["name"] == name)


def set_field(node: JSON, name: str, value: object) -> None:
    """Set a field of a Set node."""
    fields = node["parameters"]["assignments"]["assignments"]
    next(field for field in fields if field["name"] == name)["value"] = value


@dataclass(frozen=True)
class RunningN8n:
    """n8n, its imported workflows by id, and its owner's cookie."""

    n8n: N8n
    server: Server
    workflows: dict[str, JSON]
    cookie: str


@pytest.fixture(scope="session")
def node_tarball(server_process: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node_package.build(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="session", params=VERSIONS)
def running_n8n(
    server_process: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[RunningN8n]:
    """Skipped, in CI too, unless `make test-n8n` runs: n8n has 1.7 GB, its tests take minutes."""
    if not os.environ.get("WITH_N8N"):
        pytest.skip("`make test-n8n` runs the tests with a real n8n")
    try:
        n8n = installed_n8n(request.param, tmp_path_factory.mktemp("n8n"))
    except NoN8n as error:
        pytest.skip(str(error))
    node_package.install(request.getfixturevalue("node_tarball"), n8n.folder)
    for name in NAMES:
        output = n8n.command("import:workflow", f"--input={WORKFLOWS / name}.json")
        assert "Successfully imported 1 workflow." in output, output
    export = n8n.folder / "exported.json"
    n8n.command("export:workflow", "--all", f"--output={export}")
    workflows = {workflow["id"]: workflow for workflow in json.loads(export.read_text())}
    with n8n.serving() as server:
        yield RunningN8n(n8n, server, workflows, create_owner(n8n))


@pytest.fixture
async def editor(running_n8n: RunningN8n) -> AsyncIterator[Editor]:
    async with Editor.opened(running_n8n.n8n, running_n8n.cookie) as editor:
        yield editor


@pytest.fixture
async def scripted_gateway() -> AsyncIterator[ScriptedGateway]:
    async with ScriptedGateway().serving() as gateway:
        yield gateway


@pytest.fixture
def start_gateway(start_gateway: GatewayStarter) -> GatewayStarter:
    """A gateway whose callbacks may go to n8n."""

    async def start(**sections: JSON) -> Client:
        (header,) = (f"{name}: {value}" for name, value in CALLBACK_HEADER.items())
        callbacks = {"allowed_hosts": ["127.0.0.1"], **sections.pop("callbacks", {})}
        return await start_gateway({"CALLBACK_HEADER": header}, callbacks=callbacks, **sections)

    return start


@dataclass(frozen=True)
class User:
    """Does what the workflows' sticky notes say, and nothing else."""

    editor: Editor
    credentials: dict[str, JSON]

    async def set_up(self, name: str, gateway_url: str = "") -> JSON:
        """The workflow of a shipped file, with credentials and the gateway's URL."""
        workflow = await self.editor.workflow(shipped_workflow(name)["id"])
        for node in workflow["nodes"]:
            if node["name"] in self.credentials:
                node["credentials"] = self.credentials[node["name"]]
            if node["name"] == "Call":
                set_field(node, "gateway_url", gateway_url)
        return workflow

    async def execute(self, workflow: JSON) -> Execution:
        """Execute the workflow; returns the execution once it has ended."""
        return await self.editor.execution(await self.editor.execute(workflow), *ENDED)

    async def new_executions(
        self, workflow: JSON, known: list[str], number: int
    ) -> list[Execution]:
        """The executions after the `known` ones, once there are `number` and they have ended."""

        async def new_ids() -> list[str] | None:
            ids = (await self.editor.executions(workflow["id"]))[len(known) :]
            return ids if len(ids) >= number else None

        return [await self.editor.execution(new_id, *ENDED) for new_id in await eventually(new_ids)]


@pytest.fixture
async def user(editor: Editor) -> User:
    callback = await editor.create_header_auth(*next(iter(CALLBACK_HEADER.items())))
    dispatch = await editor.create_header_auth("X-API-Key", DISPATCH_KEY)
    called_back = (
        "Until it ended",
        "Gateway calls",
        "Lookup",
        "Find",
        "Free slots",
        "Book",
        "MCP Server Trigger",
    )
    asking = ("Dispatch", "Ask")
    return User(editor, dict.fromkeys(asking, dispatch) | dict.fromkeys(called_back, callback))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield session


@dataclass
class NodeUser:
    """Puts the node behind a list of items, in n8n's editor; `settings` are the node's own."""

    editor: Editor
    credential: JSON = field(default_factory=dict)
    credential_data: JSON = field(default_factory=dict)
    settings: JSON = field(default_factory=dict)

    async def use(self, gateway_url: str) -> None:
        """Make a credential for the gateway at this URL."""
        self.credential_data = {
            "url": gateway_url,
            "apiKey": DISPATCH_KEY,
            "callbackSecret": CALLBACK_SECRET,
        }
        self.credential = await self.editor.create_credential(
            node_package.CREDENTIAL, self.credential_data
        )

    def node(self, **parameters: object) -> JSON:
        """The node, for Dispatch unless `parameters` say something else."""
        return {
            "id": "gateway",
            "name": "Gateway",
            "type": node_package.CALL,
            "typeVersion": 1,
            "position": [200, 0],
            "parameters": {"operation": "dispatch", **parameters},
            "credentials": self.credential,
            **self.settings,
        }

    async def start(self, items: Sequence[JSON], **parameters: object) -> str:
        """Execute the node for the items, each a call by its columns; the execution's id."""
        node = self.node(**{"dataToSend": "autoMapInputData", **parameters})
        workflow = await self.editor.create_workflow(
            "The node behind a list",
            [START, node],
            {"Start": {"main": [[GATEWAY_INPUT]]}},
            pinData={"Start": [{"json": item} for item in items]},
        )
        return await self.editor.execute(workflow)

    async def executed(self, items: Sequence[JSON], **parameters: object) -> Execution:
        return await self.editor.execution(await self.start(items, **parameters), *ENDED)


@pytest.fixture
async def node(editor: Editor, gateway: Client) -> NodeUser:
    node = NodeUser(editor)
    await node.use(gateway_url(gateway))
    return node


async def hang_up(gateway: Client, call_id: str) -> None:
    headers = {"X-API-Key": DISPATCH_KEY}
    async with gateway.post(f"/livekit-api/calls/{call_id}/hangup", headers=headers) as response:
        assert response.status == 200, await response.text()


async def report(gateway: Client, call_id: str, event: str, **more: object) -> None:
    body = json.dumps({"event": event, "job_id": "AJ_1", **more}).encode()
    assert await send(gateway, f"/livekit-api/calls/{call_id}/report", body) == 204


def gateway_url(gateway: Client) -> str:
    return str(gateway.make_url("")).rstrip("/")


async def eventually(check: Callable[[], Awaitable[T | None]], *, limit: float = 20.0) -> T:
    """The result of `check`, once it is not None; `limit` in s."""
    async with asyncio.timeout(limit):
        while (result := await check()) is None:
            await asyncio.sleep(0.05)
    return result
