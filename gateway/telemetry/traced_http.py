"""aiohttp with traces: the gateway's own requests, and those that it answers."""

from types import SimpleNamespace

import aiohttp
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.telemetry import tracing

#: Requests that read or listen are no part of a call.
_TRACED = frozenset({"POST", "PUT", "DELETE"})
_TWIRP = "/twirp/"


@web.middleware
async def trace_requests(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A span for each request of an authenticated client that may change something."""
    resource = request.match_info.route.resource
    if resource is None or request.method not in _TRACED:
        return await handler(request)
    with tracing.request(request.method, resource.canonical, request.headers) as trace:
        response = await handler(request)
        if trace:
            trace.end(response.status)
        return response


def trace_configs() -> list[aiohttp.TraceConfig]:
    """For a client session: a span for each request, whose receiver gets its `traceparent`.

    A request's `trace_request_ctx` may be a mapping of more attributes.
    """
    if not tracing.is_on():
        return []
    config = aiohttp.TraceConfig()
    config.on_request_start.append(_on_start)
    config.on_request_end.append(_on_end)
    config.on_request_exception.append(_on_exception)
    return [config]


async def _on_start(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestStartParams,
) -> None:
    path = params.url.path
    # No path but LiveKit's: in that of a receiver may be a secret.
    rpc = path.removeprefix(_TWIRP) if path.startswith(_TWIRP) else ""
    attributes = {
        "http.request.method": params.method,
        "server.address": params.url.host or "",
        "server.port": params.url.port or 0,
        **({"rpc.system.name": "twirp", "rpc.method": rpc} if rpc else {}),
        **(getattr(context, "trace_request_ctx", None) or {}),
    }
    context.step = tracing.step(rpc or params.method, attributes)
    if context.step:
        params.headers["traceparent"] = context.step.traceparent()


async def _on_end(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestEndParams,
) -> None:
    if context.step:
        status = params.response.status
        error_type = str(status) if status >= 400 else ""
        context.step.end(error_type=error_type, **{"http.response.status_code": status})


async def _on_exception(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    params: aiohttp.TraceRequestExceptionParams,
) -> None:
    if context.step:
        context.step.end(error_type=type(params.exception).__name__)
