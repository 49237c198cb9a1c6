"""Counts requests and how long they took, whatever their client gets in the end."""

import time

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.services import SERVICES

#: A request for a path that no endpoint has.
OTHER = "other"


@web.middleware
async def measure_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Around errors_to_responses(); a request whose client does not wait for the end is no number.

    Nor is a WebSocket or an event stream, which lasts as long as its client wants.
    """
    began = time.perf_counter()
    response = await handler(request)
    if not isinstance(response, web.WebSocketResponse) and not _is_stream(response):
        resource = request.match_info.route.resource
        endpoint = f"{request.method} {resource.canonical}" if resource else OTHER
        count_request(request, endpoint, time.perf_counter() - began, response.status)
    return response


def count_request(request: web.Request, endpoint: str, seconds: float, status: int) -> None:
    """`endpoint` is a method and the path of a route, of which there are few."""
    error = str(status) if status >= 400 else ""
    request.app[SERVICES].metrics.http.observe(endpoint, seconds, error)


def _is_stream(response: web.StreamResponse) -> bool:
    return not isinstance(response, web.Response) and response.content_type == "text/event-stream"
