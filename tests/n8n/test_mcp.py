"""The shipped tools behind n8n's MCP Server Trigger, used by an agent."""

import pytest

from tests.agent.tools.conftest import conversation, model_of, turn
from tests.fakes.llm import Use
from tests.n8n.conftest import CALLBACK_HEADER, MCP_TOOLS, RunningN8n, User, node_of
from tests.n8n.editor import JSON

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

COLUMNS = ["name", "phone", "message"]


def profile(running_n8n: RunningN8n, headers: JSON) -> JSON:
    url = f"{running_n8n.n8n.url}/mcp/clinic"
    return {"tools": [{"type": "mcp", "name": "n8n", "url": url, "headers": headers}]}


@pytest.fixture
async def messages(user: User, request: pytest.FixtureRequest) -> str:
    """The path of the data table of the workflow, which is set up as its note says."""
    table = await user.editor.create_data_table(request.node.name, COLUMNS)
    workflow = await user.set_up(MCP_TOOLS)
    place = node_of(workflow, "leave_message")["parameters"]["dataTableId"]
    place["value"] = table.rsplit("/", 1)[1]
    await user.editor.activate(workflow)
    return table


async def test_its_tools_are_the_agents(messages: str, running_n8n: RunningN8n, user: User) -> None:
    message = {"name": "Ann Example", "phone": "+15550100", "message": "Please call me back."}
    replies = (
        Use("opening_hours", {"query": "today"}),
        "From nine to five.",
        Use("leave_message", message),
        "I have noted it.",
    )
    async with conversation(profile(running_n8n, CALLBACK_HEADER), *replies) as voice:
        hours = await turn(voice, "When are you open?")
        assert sorted(model_of(voice).offered[0]) == ["leave_message", "opening_hours"]
        noted = await turn(voice, "Please call me back. Ann Example, 15550100.")
    for run in (hours, noted):
        (output,) = (event.item for event in run.events if event.type == "function_call_output")
        assert not output.is_error, output.output
    (row,) = await user.editor.rows(messages)
    assert {name: row[name] for name in COLUMNS} == message
