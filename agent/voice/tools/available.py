"""The tools of a profile, and what is wrong with those of agents.yaml."""

import asyncio
import importlib
from typing import TYPE_CHECKING

from livekit.agents.beta.tools import send_dtmf_events
from livekit.agents.llm import Tool, Toolset

from agent.profiles.checks import Found
from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import AgentsFile, HttpTool, McpServer, Profile, PythonTool
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
    """The tools of the call's profile, in which `tool_problems` has found nothing."""
    return [_tool(settings, voice, requests) for settings in voice.profile.tools]


def tool_problems(profile: Profile) -> Found:
    """What cannot be used of a profile's tools.

    It imports what the tools need, so call it on the main thread before calls come.
    """
    for index, tool in enumerate(profile.tools):
        if isinstance(tool, PythonTool):
            try:
                python_tool(tool)
            except PythonToolInvalid as error:
                yield f"tools[{index}].function", f"{tool.function} {error}"
        elif isinstance(tool, McpServer):
            try:
                importlib.import_module("agent.voice.tools.mcp")
            except ImportError:
                yield f"tools[{index}].type", f"mcp {MCP_MISSING}"


async def server_problems(agents: AgentsFile) -> list[str]:
    """Which MCP servers do not answer as they should, a line each; takes CHECK_TIMEOUT at most."""
    hosts = HostPolicy.reading(agents.allowed_hosts)
    servers = [
        (f"profiles.{name}.tools[{index}]", tool)
        for name, profile in agents.profiles.items()
        for index, tool in enumerate(profile.tools)
        if isinstance(tool, McpServer)
    ]
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
