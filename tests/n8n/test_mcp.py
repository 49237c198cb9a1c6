"""n8n's MCP Server Trigger as a tool of an agent, as docs/agents.md shows it."""

import pytest

from tests.agent.tools.conftest import conversation, model_of, turn
from tests.fakes.llm import Use
from tests.n8n.conftest import CALLBACK_HEADER, RunningN8n, User
from tests.n8n.editor import JSON

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

LANGCHAIN = "@n8n/n8n-nodes-langchain"
WORKFLOW = {
    "name": "The clinic's tools by MCP",
    "nodes": [
        {
            "id": "1",
            "name": "MCP Server Trigger",
            "type": f"{LANGCHAIN}.mcpTrigger",
            "typeVersion": 2,
            "position": [0, 0],
            "parameters": {"path": "clinic", "authentication": "headerAuth"},
            "webhookId": "7175737c-eb0d-57db-872b-18c3b5318c8b",
        },
        {
            "id": "2",
            "name": "opening_hours",
            "type": f"{LANGCHAIN}.toolCode",
            "typeVersion": 1.3,
            "position": [0, 200],
            "parameters": {
                "description": "When the clinic is open.",
                "jsCode": "return 'from nine to five';",
            },
        },
    ],
    "connections": {
        "opening_hours": {
            "ai_tool": [[{"node": "MCP Server Trigger", "type": "ai_tool", "index": 0}]]
        }
    },
    "settings": {"executionOrder": "v1"},
    "active": False,
}


def profile(running_n8n: RunningN8n, headers: JSON) -> JSON:
    url = f"{running_n8n.n8n.url}/mcp/clinic"
    return {"tools": [{"type": "mcp", "name": "n8n", "url": url, "headers": headers}]}


@pytest.fixture
async def clinic(user: User) -> None:
    workflow = await user.editor.create_workflow(WORKFLOW)
    trigger, _ = workflow["nodes"]
    trigger["credentials"] = user.credentials["Gateway calls"]
    await user.editor.activate(workflow)


async def test_its_tools_are_the_agents(clinic: None, running_n8n: RunningN8n) -> None:
    replies = (Use("opening_hours", {"query": "today"}), "From nine to five.")
    async with conversation(profile(running_n8n, CALLBACK_HEADER), *replies) as voice:
        run = await turn(voice, "When are you open?")
        assert model_of(voice).offered[0] == ["opening_hours"]
    (output,) = (event.item for event in run.events if event.type == "function_call_output")
    assert (output.is_error, "from nine to five" in output.output) == (False, True)
