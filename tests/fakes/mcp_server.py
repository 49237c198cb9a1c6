"""A real MCP server, of the mcp package, on loopback: a clinic's calendar."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.ports import free_port


@dataclass
class Calendar:
    """`hang_until`: the tool `free_slots` does not answer before it is set.

    `headers` has the headers of each request.
    """

    url: str = ""
    hang_until: asyncio.Event = field(default_factory=asyncio.Event)
    headers: list[dict[str, str]] = field(default_factory=list)
    _server: uvicorn.Server | None = None
    _serving: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.hang_until.set()

    @asynccontextmanager
    async def serving(
        self, transport: str = "streamable_http", *, certificates: Path | None = None
    ) -> AsyncIterator["Calendar"]:
        """`certificates` is the folder that `make_certificates()` has filled: for TLS."""
        port = free_port()
        security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
        tools = self._tools()
        app: ASGIApp
        if transport == "sse":
            app, path = tools.sse_app(transport_security=security), "sse"
        else:
            app, path = tools.streamable_http_app(transport_security=security), "mcp"
        scheme = "https" if certificates else "http"
        self.url = f"{scheme}://127.0.0.1:{port}/{path}"
        config = uvicorn.Config(
            self._recording(app),
            port=port,
            log_level="critical",
            lifespan="on",
            timeout_graceful_shutdown=1,
            ssl_certfile=certificates and certificates / "server.crt",
            ssl_keyfile=certificates and certificates / "server.key",
        )
        server = self._server = uvicorn.Server(config)
        self._serving = asyncio.create_task(server._serve())
        async with asyncio.timeout(10):
            while not server.started:
                await asyncio.sleep(0.01)
        try:
            yield self
        finally:
            await self.stop()

    async def stop(self) -> None:
        """From now on connections are refused."""
        assert self._server
        assert self._serving
        self.hang_until.set()
        self._server.should_exit = True
        await self._serving

    def _tools(self) -> MCPServer:
        server = MCPServer("calendar")

        @server.tool()
        async def free_slots(day: str) -> str:
            """Free appointments of a day."""
            await self.hang_until.wait()
            return f"{day}: 09:00, 11:30"

        @server.tool()
        async def book(day: str) -> str:
            """Books an appointment."""
            raise ToolError(f"no appointment on {day}")

        @server.tool()
        async def report() -> str:
            """Says too much."""
            return "x" * 9000

        return server

    def _recording(self, app: ASGIApp) -> ASGIApp:
        async def record(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                self.headers.append({k.decode(): v.decode() for k, v in scope["headers"]})
            await app(scope, receive, send)

        return record
