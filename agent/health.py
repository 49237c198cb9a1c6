"""The worker's health endpoint: 200 once a call would find a warm process, else 503 and why."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

#: Called for each request: why the worker can take no call, "" if it can.
Problem = Callable[[], str]
#: Called for each request: facts about the worker, as JSON.
Facts = Callable[[], Mapping[str, object]]


@asynccontextmanager
async def health_endpoint(
    host: str, port: int, problem: Problem, facts: Facts
) -> AsyncIterator[None]:
    """Serve `GET /` and `GET /worker` while the context is entered. Raises OSError."""

    async def health(_: web.Request) -> web.Response:
        reason = problem()
        return web.Response(status=503 if reason else 200, text=reason or "OK")

    async def worker(_: web.Request) -> web.Response:
        return web.json_response(dict(facts()))

    app = web.Application()
    app.add_routes([web.get("/", health), web.get("/worker", worker)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
