"""The tools of MCP servers. Needs livekit-agents[mcp]; importing it takes a second."""

import asyncio
import json
import logging
import ssl
from typing import Any, Self

import httpx2
from livekit.agents import ToolError
from livekit.agents.llm.mcp import MCPServerHTTP, MCPTool, MCPToolResultContext, MCPToolset
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult

from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import McpServer
from agent.voice.requests import MAX_ANSWER
from agent.voice.tools.bounds import with_bounds
from common.guarded_resolver import GuardedResolver
from common.http_failures import certificate_failure, failure_of
from common.resolver import Resolver
from common.urls import UrlRejected, origin_of

logger = logging.getLogger("agent.tools")

#: How long a call waits at its start for a server's list of tools, and at its end for the server,
#: in s: the caller hears ringing meanwhile.
CONNECT_TIMEOUT = 2.0


class McpTools(MCPToolset):
    """Without its server it has no tools: the agent talks on without them, and a line says so."""

    def __init__(self, server: McpServer, hosts: HostPolicy) -> None:
        super().__init__(id=f"mcp-{server.name}", mcp_server=_Server(server, hosts))
        self._server = server

    async def setup(self, *, reload: bool = False) -> Self:
        """Never raises."""
        if problem := await self.problem(CONNECT_TIMEOUT):
            logger.warning("tool.unavailable", extra={"tool": self._server.name, "error": problem})
        return self

    async def problem(self, timeout: float) -> str:  # noqa: ASYNC109 - named in the answer
        """Connect, and return what is wrong with the server; "" if nothing is. `timeout` in s."""
        try:
            async with asyncio.timeout(timeout):
                await super().setup()
        except TimeoutError:
            return f"no answer within {timeout:g} s"
        except Exception as error:  # whatever the MCP client raises
            return _in_words(error)
        offered = [tool for tool in self.tools if isinstance(tool, MCPTool)]
        self._tools = [with_bounds(tool, self._server) for tool in offered]
        missing = set(self._server.allowed_tools or ()) - {tool.info.name for tool in offered}
        return f"has no tool {', '.join(sorted(missing))}" if missing else ""

    async def aclose(self) -> None:
        """Never raises: a server that is gone ends no call."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await super().aclose()
        except Exception as error:
            logger.info(
                "tool.not_closed", extra={"tool": self._server.name, "error": _in_words(error)}
            )


class _Server(MCPServerHTTP):
    def __init__(self, server: McpServer, hosts: HostPolicy) -> None:
        super().__init__(
            server.url,
            transport_type=server.transport,
            allowed_tools=server.allowed_tools,
            headers=dict(server.headers),
            timeout=server.timeout,
            client_session_timeout_seconds=server.timeout,
            tool_result_resolver=_text_of,
        )
        self._hosts = hosts
        self._name = server.name

    async def _call_tool(
        self, name: str, arguments: dict[str, Any], **kwargs: Any
    ) -> CallToolResult:
        try:
            return await super()._call_tool(name, arguments, **kwargs)
        except ToolError:
            raise
        except Exception as error:
            logger.warning(
                "tool.failed", extra={"tool": f"{self._name}.{name}", "error": _in_words(error)}
            )
            raise ToolError(f"{name} failed: {_in_words(error)}") from error

    def _create_http_client(
        self,
        headers: dict[str, Any] | None = None,
        timeout: httpx2.Timeout | None = None,
        auth: httpx2.Auth | None = None,
    ) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers=headers or self.headers,
            timeout=timeout or httpx2.Timeout(self._timeout, read=self._sse_read_timeout),
            auth=auth,
            transport=_GuardedTransport(self._hosts),
        )


class _GuardedTransport(httpx2.AsyncHTTPTransport):
    """Connects to an address that was checked, whatever the name becomes afterwards."""

    def __init__(self, hosts: HostPolicy) -> None:
        super().__init__()
        self._hosts = hosts

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = str(request.url)
        self._hosts.check(url)
        _, host, port = origin_of(url)
        async with Resolver() as resolver:
            names = resolver if self._hosts.trusts(url) else GuardedResolver(resolver, self._hosts)
            (address, *_) = await names.resolve(host, port)
        return await super().handle_async_request(
            httpx2.Request(
                request.method,
                request.url.copy_with(host=address["host"]),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
        )


def _text_of(result: MCPToolResultContext) -> str:
    """What the model reads: the parts that are text, one after the other."""
    parts = [part.text for part in result.result.content if part.type == "text"]
    structured = result.result.structured_content
    text = "\n".join(parts) or (json.dumps(structured) if structured else "done, without an answer")
    if len(text.encode()) > MAX_ANSWER:
        raise ToolError(f"{result.tool_name} failed: the answer is longer than {MAX_ANSWER} bytes")
    return text


def _in_words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case httpx2.HTTPStatusError():
            return failure_of(error.response.status_code)
        case httpx2.TimeoutException():
            return "no answer in time"
        case httpx2.TransportError():
            refusal = _certificate_error(error)
            return certificate_failure(refusal) if refusal else "no connection"
        case MCPError() | UrlRejected() | OSError():
            return str(error)
    return f"{type(error).__name__}: {error}"


def _certificate_error(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """The one that `error` was raised for, if it was."""
    while error:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None
