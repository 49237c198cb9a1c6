"""n8n's internal API, used as its editor in the browser uses it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.n8n.server import N8n

#: The statuses of an execution that has ended.
ENDED = ("success", "error", "crashed")

JSON = dict[str, Any]


@dataclass(frozen=True)
class Execution:
    """An execution of a workflow as n8n has stored it."""

    id: str
    status: str
    nodes: JSON
    error: JSON | None

    def output(self, node: str) -> JSON:
        """The first item of the last run of `node`."""
        return self.outputs(node)[0]

    def outputs(self, node: str) -> list[JSON]:
        """The items of the last run of `node`, from its first branch that has any."""
        return [item["json"] for item in self._items(node)]

    def sources(self, node: str) -> list[int]:
        """For each of `outputs` the index of the item that went into `node`."""
        paired = [item["pairedItem"] for item in self._items(node)]
        return [pair["item"] if isinstance(pair, dict) else pair for pair in paired]

    def _items(self, node: str) -> list[JSON]:
        branches: list[list[JSON] | None] = self.nodes[node][-1]["data"]["main"]
        return next(items for items in branches if items)


class Editor:
    """The editor of `n8n`, signed in by the session's cookie."""

    def __init__(self, n8n: N8n, session: aiohttp.ClientSession) -> None:
        self._url = n8n.url
        self._session = session

    @classmethod
    @asynccontextmanager
    async def opened(cls, n8n: N8n, cookie: str) -> AsyncIterator["Editor"]:
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(headers={"Cookie": cookie}, timeout=timeout) as session:
            yield cls(n8n, session)

    async def create_header_auth(self, name: str, value: str) -> JSON:
        """Create a Header Auth credential; returns a node's reference to it."""
        return await self.create_credential("httpHeaderAuth", {"name": name, "value": value})

    async def create_credential(self, kind: str, data: JSON) -> JSON:
        """Create a credential of the type `kind`; returns a node's reference to it."""
        body = {"name": f"{kind} for tests", "type": kind, "data": data}
        credential = await self._request("POST", "credentials", body)
        return {kind: {"id": credential["id"], "name": credential["name"]}}

    async def test_credential(self, reference: JSON, data: JSON) -> JSON:
        """What the button *Retry* of a credential's page shows: `status` and `message`."""
        ((kind, credential),) = reference.items()
        body = {"credentials": {**credential, "type": kind, "data": data}}
        result: JSON = await self._request("POST", "credentials/test", body)
        return result

    async def create_data_table(self, name: str, columns: list[str]) -> str:
        """Create a data table with columns of texts; returns its path, which ends with its id."""
        project = await self._request("GET", "projects/personal")
        path = f"projects/{project['id']}/data-tables"
        body = {"name": name, "columns": [{"name": c, "type": "string"} for c in columns]}
        table = await self._request("POST", path, body)
        return f"{path}/{table['id']}"

    async def import_csv(self, name: str, csv: str) -> str:
        """Create a data table from a file's text, with the types that n8n detects; its path."""
        form = aiohttp.FormData()
        form.add_field("file", csv.encode(), filename=f"{name}.csv", content_type="text/csv")
        form.add_field("hasHeaders", "true")
        upload = await self._request("POST", "data-tables/uploads", form)
        project = await self._request("GET", "projects/personal")
        path = f"projects/{project['id']}/data-tables"
        columns = [{"name": c["name"], "type": c["type"]} for c in upload["columns"]]
        body = {"name": name, "columns": columns, "fileId": upload["id"], "hasHeaders": True}
        table = await self._request("POST", path, body)
        return f"{path}/{table['id']}"

    async def update_row(self, data_table: str, row: int, **columns: str) -> None:
        """Edit cells of the row with this id."""
        match = {"type": "and", "filters": [{"columnName": "id", "condition": "eq", "value": row}]}
        await self._request("PATCH", f"{data_table}/rows", {"filter": match, "data": columns})

    async def rows(self, data_table: str) -> list[JSON]:
        """The rows of the data table with this path."""
        rows: list[JSON] = (await self._request("GET", f"{data_table}/rows"))["data"]
        return rows

    async def create_workflow(
        self, name: str, nodes: Sequence[JSON], connections: JSON, **more: JSON
    ) -> JSON:
        """A new workflow, inactive; `more` are other fields of it, such as `pinData`."""
        content = {"name": name, "nodes": nodes, "connections": connections, **more}
        always = {"settings": {"executionOrder": "v1"}, "active": False}
        workflow: JSON = await self._request("POST", "workflows", {**content, **always})
        return workflow

    async def workflow(self, workflow_id: str) -> JSON:
        workflow: JSON = await self._request("GET", f"workflows/{workflow_id}")
        return workflow

    async def activate(self, workflow: JSON) -> None:
        """Save `workflow` and activate its trigger."""
        path = f"workflows/{workflow['id']}"
        content = {key: workflow[key] for key in ("name", "nodes", "connections", "settings")}
        body = {**content, "versionId": workflow["versionId"]}
        saved = await self._request("PATCH", path, body)
        await self._request("POST", f"{path}/activate", {"versionId": saved["versionId"]})

    async def deactivate(self, workflow: JSON) -> None:
        await self._request("POST", f"workflows/{workflow['id']}/deactivate", {})

    async def execute(self, workflow: JSON, trigger: str = "Start") -> str:
        """Start an execution, as the button does; returns its id."""
        body = {"workflowData": workflow, "triggerToStartFrom": {"name": trigger}}
        started = await self._request("POST", f"workflows/{workflow['id']}/run", body)
        execution_id: str = started["executionId"]
        return execution_id

    async def executions(self, workflow_id: str) -> list[str]:
        """The ids of all executions of a workflow, oldest first."""
        filters = json.dumps({"workflowId": workflow_id})
        executions = await self._request("GET", f"executions?filter={filters}")
        return sorted((execution["id"] for execution in executions["results"]), key=int)

    async def execution(self, execution_id: str, *statuses: str, limit: float = 30.0) -> Execution:
        """The execution, once it has one of `statuses`; `limit` in s."""
        deadline = time.monotonic() + limit
        path = f"executions/{execution_id}"
        while (stored := await self._request("GET", path))["status"] not in statuses:
            assert time.monotonic() < deadline, f"execution {execution_id} still {stored['status']}"
            await asyncio.sleep(0.1)
        result = unflatted(stored["data"])["resultData"]
        return Execution(execution_id, stored["status"], result["runData"], result.get("error"))

    async def _request(
        self, method: str, path: str, body: JSON | aiohttp.FormData | None = None
    ) -> Any:
        url = f"{self._url}/rest/{path}"
        content = {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body}
        async with self._session.request(method, url, **content) as response:
            text = await response.text()
            assert response.status == 200, f"{method} {path}: {response.status} {text}"
            return json.loads(text)["data"]


def unflatted(text: str) -> Any:
    """Parse n8n's format of execution data (npm's `flatted`): a table of values, in which each
    string of an object or array is the index of another value."""
    table: list[Any] = json.loads(text)

    def value_at(index: str) -> Any:
        value = table[int(index)]
        if isinstance(value, dict):
            return {key: resolved(member) for key, member in value.items()}
        if isinstance(value, list):
            return [resolved(member) for member in value]
        return value

    def resolved(member: Any) -> Any:
        return value_at(member) if isinstance(member, str) else member

    return value_at("0")
