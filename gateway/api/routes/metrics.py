"""The numbers of this gateway, for Prometheus."""

import asyncio

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from gateway.api.auth import METRICS
from gateway.api.endpoints import Endpoint, Request
from gateway.api.stock import take_stock


@Endpoint(
    "GET",
    "/metrics",
    "Numbers of this gateway in Prometheus' text format",
    authentication=METRICS,
    answers={200: {"type": "string"}},
    answer_type="text/plain",
)
async def metrics(request: Request) -> web.Response:
    services = request.services
    stock = await take_stock(services)
    # In a thread: the page takes milliseconds, for which no hook should wait.
    counted = await asyncio.to_thread(generate_latest, services.metrics.registry)
    return web.Response(
        body=generate_latest(stock) + counted, headers={"Content-Type": CONTENT_TYPE_LATEST}
    )
