"""Sends a callback, a tool's request and one to an MCP server by TLS, and prints what each said.

`python -m tests.common.tls_requests RECEIVER MCP_SERVER`: a process of its own, since the variables
that name certificate authorities are read when a process starts.
"""

import asyncio
import json
import sys

from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import McpServer
from agent.voice.requests import RequestFailed, Requests
from agent.voice.tools.mcp import McpTools
from common.allowed_hosts import read_allowed_host
from common.signing import Signer
from gateway.callbacks.sender import Sender
from gateway.config.settings import LOOPBACK, CallbackSettings


async def callback(url: str) -> str:
    settings = CallbackSettings(allowed_hosts=(read_allowed_host(LOOPBACK),))
    async with Sender.open(settings) as sender:
        answer = await sender.send(url, "{}", "evt_1")
    return answer.error or str(answer.status)


async def tool(url: str) -> str:
    requests = Requests(HostPolicy.reading([LOOPBACK]), Signer(()))
    try:
        return await requests.post(url, {}, message_id="m1", headers={}, timeout=10)
    except RequestFailed as error:
        return str(error)


async def mcp_server(url: str) -> str:
    server = McpServer(type="mcp", name="calendar", url=url)
    tools = McpTools(server, HostPolicy.reading([LOOPBACK]))
    problem = await tools.problem(10)
    await tools.aclose()
    return problem or "connected"


async def requests(receiver: str, mcp: str) -> dict[str, str]:
    """What the requests to these URLs say."""
    return {
        "callback": await callback(receiver),
        "tool": await tool(receiver),
        "mcp": await mcp_server(mcp),
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(requests(*sys.argv[1:]))))
