"""The tools of a profile, and what is wrong with those of agents.yaml."""

import asyncio
import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from livekit.agents.beta.tools import send_dtmf_events
from livekit.agents.llm import Tool, Toolset

from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import AgentsFile, HttpTool, McpServer, PythonTool
from agent.profiles.profile import Tool as ToolSettings
from agent.voice.requests import Requests
from agent.voice.tools.end_call import end_call_tool
from agent.voice.tools.http import http_tool
from agent.voice.tools.python import PythonToolInvalid, python_tool
from agent.voice.tools.transfer import transfer_tool
from agent.voice.voice_call import VoiceCall

if TYPE_CHECKING:
    from agent.voice.tools.mcp import McpTools

MCP_MISSING = 'needs a package: pip install "livekit-agents[mcp]==1.8.9"'
#: How long an MCP server may take to answer when the worker starts, in s.
CHECK_TIMEOUT = 10.0


def tools_for(voice: VoiceCall, requests: Requests) -> list[Tool | Toolset]:
    """The tools of the call's profile; `problems()` has found none in it."""
    return [_tool(settings, voice, requests) for settings in voice.profile.tools]


def problems(agents: AgentsFile) -> list[str]:
    """What cannot be used of the tools, a line each with its path.

    It imports what the tools need, so call it on the main thread before calls come.
    """
    lines = []
    for path, tool in _tools(agents):
        if isinstance(tool, PythonTool):
            try:
                python_tool(tool)
            except PythonToolInvalid as error:
                lines.append(f"{path}.function: {tool.function} {error}")
        elif isinstance(tool, McpServer):
            try:
                importlib.import_module("agent.voice.tools.mcp")
            except ImportError:
                lines.append(f"{path}.type: mcp {MCP_MISSING}")
    return lines


async def server_problems(agents: AgentsFile) -> list[str]:
    """Which MCP servers do not answer as they should, a line each; takes CHECK_TIMEOUT at most."""
    hosts = HostPolicy.reading(agents.allowed_hosts)
    servers = [(path, tool) for path, tool in _tools(agents) if isinstance(tool, McpServer)]
    found = await asyncio.gather(*(_server_problem(tool, hosts) for _, tool in servers))
    return [
        f"{path}: MCP server {tool.name}: {problem}"
        for (path, tool), problem in zip(servers, found, strict=True)
        if problem
    ]


async def _server_problem(server: McpServer, hosts: HostPolicy) -> str:
    tools = _mcp_tools(server, hosts)
    try:
        return await tools.problem(CHECK_TIMEOUT)
    finally:
        await tools.aclose()


def _mcp_tools(server: McpServer, hosts: HostPolicy) -> "McpTools":
    # Only where a profile has such a server: the import takes a second, and an optional package.
    from agent.voice.tools.mcp import McpTools  # noqa: PLC0415

    return McpTools(server, hosts)


def _tools(agents: AgentsFile) -> Iterator[tuple[str, ToolSettings]]:
    for name, profile in agents.profiles.items():
        for index, tool in enumerate(profile.tools):
            yield f"profiles.{name}.tools[{index}]", tool


def _tool(settings: ToolSettings, voice: VoiceCall, requests: Requests) -> Tool | Toolset:
    match settings:
        case HttpTool():
            return http_tool(settings, voice.call, requests)
        case McpServer():
            return _mcp_tools(settings, requests.hosts)
        case PythonTool():
            return python_tool(settings)
    match settings.type:
        case "end_call":
            return end_call_tool(voice)
        case "transfer":
            return transfer_tool(voice)
        case "send_keys":
            return send_dtmf_events
