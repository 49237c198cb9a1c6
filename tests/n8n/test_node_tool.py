"""The node as a tool: of n8n's AI Agent, and behind n8n's MCP Server Trigger."""

import re
import uuid
from collections.abc import AsyncIterator

import pytest

from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer, Service
from gateway.tools.simulate.recognizer import in_order
from tests.agent.tools.conftest import conversation, turn
from tests.conftest import Client, get_call, list_calls
from tests.fakes.llm import Use
from tests.n8n import node_package
from tests.n8n.conftest import START, NodeUser, RunningN8n
from tests.n8n.editor import ENDED, JSON, Execution

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

LANGCHAIN = "@n8n/n8n-nodes-langchain"
FREE, OTHER = "+15550100", "+15550102"
WRONG = "not a number"
CALLED = "I have called them."
REFUSED = "That is no telephone number."
CALL_ANN: JSON = {"call": "Gateway", "arguments": {"destination": FREE}}
SCRIPT = Script(
    [
        Rule("call Ann", **CALL_ANN),
        Rule("call both", call="Gateway", arguments={"destination": OTHER}),
        Rule(f'"destination":"{re.escape(OTHER)}.*outbound-', role="tool", **CALL_ANN),
        Rule("call nobody", call="Gateway", arguments={"destination": WRONG}),
        Rule("outbound-", role="tool", say=CALLED),
        Rule('"status":422', role="tool", say=REFUSED),
    ]
)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with ModelServer(SCRIPT, in_order([])).serving() as model:
        yield model


def tool_of(node: NodeUser) -> JSON:
    tool = node.node(
        dataToSend="defineBelow",
        destination="={{ $fromAI('destination', 'The number to call') }}",
        account_code="em-tech-01",
    )
    return {**tool, "type": f"{node_package.CALL}Tool"}


async def asked(node: NodeUser, model: ModelServer, text: str) -> Execution:
    """The execution in which an agent that has the node as its tool is told `text`."""
    data = {"apiKey": "key", "url": model.url, "header": False}
    credential = await node.editor.create_credential("openAiApi", data)
    agent = {
        "id": "agent",
        "name": "Agent",
        "type": f"{LANGCHAIN}.agent",
        "typeVersion": 3,
        "position": [200, 0],
        "parameters": {"promptType": "define", "text": text},
    }
    chat_model: JSON = {
        "id": "model",
        "name": "Model",
        "type": f"{LANGCHAIN}.lmChatOpenAi",
        "typeVersion": 1.2,
        "position": [200, 200],
        "parameters": {"model": {"mode": "id", "value": "scripted"}, "options": {}},
        "credentials": credential,
    }
    to_agent = {"node": "Agent", "index": 0}
    connections = {
        "Start": {"main": [[{**to_agent, "type": "main"}]]},
        "Model": {"ai_languageModel": [[{**to_agent, "type": "ai_languageModel"}]]},
        "Gateway": {"ai_tool": [[{**to_agent, "type": "ai_tool"}]]},
    }
    workflow = await node.editor.create_workflow(
        "The node as a tool", [START, agent, chat_model, tool_of(node)], connections
    )
    return await node.editor.execution(await node.editor.execute(workflow), *ENDED)


async def test_an_agent_dispatches_a_call(
    node: NodeUser, model: ModelServer, gateway: Client
) -> None:
    execution = await asked(node, model, "Please call Ann.")
    assert execution.status == "success", execution.error
    assert execution.output("Agent")["output"] == CALLED
    (listed,) = (await list_calls(gateway, ""))["calls"]
    call = await get_call(gateway, listed["call_id"])
    assert (call["call_status"], call["to_number"]) == ("ongoing", FREE)
    (tool,) = model.received(Service.LLM)[0]["tools"]
    assert tool["function"]["name"] == "Gateway"
    assert list(tool["function"]["parameters"]["properties"]) == ["destination"]


async def test_an_agent_dispatches_two_calls(
    node: NodeUser, model: ModelServer, gateway: Client
) -> None:
    execution = await asked(node, model, "Please call both.")
    assert execution.status == "success", execution.error
    assert execution.output("Agent")["output"] == CALLED
    calls = (await list_calls(gateway, ""))["calls"]
    assert sorted(call["to_number"] for call in calls) == [FREE, OTHER]


async def test_an_agent_reads_why_a_call_is_refused(
    node: NodeUser, model: ModelServer, gateway: Client
) -> None:
    node.settings["onError"] = "continueRegularOutput"  # else n8n ends the execution
    execution = await asked(node, model, "Please call nobody.")
    assert execution.output("Agent")["output"] == REFUSED
    assert (await list_calls(gateway, "?include=ended"))["calls"] == []


async def test_each_mcp_call_is_a_call(
    running_n8n: RunningN8n, node: NodeUser, gateway: Client
) -> None:
    path = uuid.uuid4().hex
    trigger: JSON = {
        "id": "trigger",
        "name": "MCP Server Trigger",
        "type": f"{LANGCHAIN}.mcpTrigger",
        "typeVersion": 2,
        "position": [0, 0],
        "webhookId": path,
        "parameters": {"path": path},
    }
    to_trigger = {"node": "MCP Server Trigger", "type": "ai_tool", "index": 0}
    workflow = await node.editor.create_workflow(
        "The node by MCP", [trigger, tool_of(node)], {"Gateway": {"ai_tool": [[to_trigger]]}}
    )
    await node.editor.activate(workflow)
    server = {"type": "mcp", "name": "n8n", "url": f"{running_n8n.n8n.url}/mcp/{path}"}
    numbers = [FREE, OTHER, FREE]
    replies = [reply for to in numbers for reply in (Use("Gateway", {"destination": to}), CALLED)]
    async with conversation({"tools": [server]}, *replies) as voice:
        for number in numbers:
            run = await turn(voice, f"Call {number}.")
            (output,) = (e.item for e in run.events if e.type == "function_call_output")
            assert not output.is_error, output.output
    calls = (await list_calls(gateway, ""))["calls"]
    assert sorted(call["to_number"] for call in calls) == sorted(numbers)
