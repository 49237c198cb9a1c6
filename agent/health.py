"""The worker's health endpoint: 200 once a call would find a warm process, else 503 and why.

Beside it are facts for `doctor`, and numbers for Prometheus.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

#: Called for each request: why the worker can take no call, "" if it can.
Problem = Callable[[], str]
#: Called for each request: facts about the worker, as JSON.
Facts = Callable[[], Mapping[str, object]]
#: Called for each request: the numbers, in Prometheus' text format.
Numbers = Callable[[], bytes]


@asynccontextmanager
async def health_endpoint(
    host: str, port: int, problem: Problem, facts: Facts, numbers: Numbers
) -> AsyncIterator[None]:
    """Serve `GET /`, `/worker` and `/metrics` while the context is entered. Raises OSError."""

    async def health(_: web.Request) -> web.Response:
        reason = problem()
        return web.Response(status=503 if reason else 200, text=reason or "OK")

    async def worker(_: web.Request) -> web.Response:
        return web.json_response(dict(facts()))

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=numbers(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.add_routes([web.get("/", health), web.get("/worker", worker), web.get("/metrics", metrics)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield
    finally:
        await runner.cleanup()
