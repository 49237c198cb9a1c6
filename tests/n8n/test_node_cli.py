"""The node in a workflow that n8n's command line executes, with the gateway."""

import asyncio
import json

import pytest

from tests.conftest import Client, get_call
from tests.n8n.conftest import GATEWAY_INPUT, START, NodeUser, RunningN8n

# The first test waits until n8n has started.
pytestmark = pytest.mark.timeout(300)

FREE = "+15550100"


async def test_the_command_execute_dispatches_a_call(
    running_n8n: RunningN8n, node: NodeUser, gateway: Client
) -> None:
    dispatch = node.node(dataToSend="defineBelow", destination=FREE, account_code="em-tech-01")
    workflow = await node.editor.create_workflow(
        "The node by the command line",
        [START, dispatch],
        {"Start": {"main": [[GATEWAY_INPUT]]}},
    )
    command = ("execute", f"--id={workflow['id']}", "--rawOutput")
    output = await asyncio.to_thread(running_n8n.n8n.command, *command)
    run = json.loads(output[output.index("{\n") :])
    (ran,) = run["data"]["resultData"]["runData"]["Gateway"]
    ((item,),) = ran["data"]["main"]
    call = await get_call(gateway, item["json"]["call_id"])
    assert (call["call_status"], call["to_number"]) == ("ongoing", FREE)
