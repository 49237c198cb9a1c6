"""Ops' doors: the calls there are, and whether the gateway lives and is ready."""

from aiohttp import web

from gateway import __version__
from gateway.api.auth import require_role
from gateway.api.keys import (
    CLOCK,
    CONFIG,
    COUNTERS,
    HEALTH,
    LIFECYCLE,
    LIVEKIT,
    OUTBOX,
    REGISTRY,
    ROOM_CLEANUP,
    TRANSFERS,
)
from gateway.api.limits import LIMITS
from gateway.api.parsing import load_json, load_query, read_body
from gateway.api.schemas.hooks import TransferSchema
from gateway.api.schemas.listing import ListQuery, ListQuerySchema, write_cursor
from gateway.calls.call import Call, DisconnectionReason, Event, EventKind
from gateway.calls.views import summary, whole
from gateway.errors import ApiError, ErrorCode, LiveKitError, StorageUnavailable
from gateway.security.api_keys import Role

routes = web.RouteTableDef()

_QUERY = ListQuerySchema()
_TRANSFER = TransferSchema()

#: Who asks, where no API keys are configured.
NOBODY = "somebody without an API key"


@routes.get("/livekit-api/calls")
async def list_calls(request: web.Request) -> web.Response:
    require_role(request, Role.READ)
    query: ListQuery = load_query(request, _QUERY)
    registry = request.app[REGISTRY]
    page = await registry.page(query.call_filter, limit=query.limit, after=query.after)
    return web.json_response(
        {
            "calls": [summary(call) for call in page.calls],
            "active": await registry.count_active(),
            "next_cursor": write_cursor(page.next),
        }
    )


@routes.get("/livekit-api/calls/{call_id}")
async def one_call(request: web.Request) -> web.Response:
    require_role(request, Role.READ)
    call = await _call(request)
    return web.json_response(await _with_deliveries(request, call))


@routes.post("/livekit-api/calls/{call_id}/hangup")
async def hang_up(request: web.Request) -> web.Response:
    client = require_role(request, Role.DISPATCH)
    call = await _call(request)
    detail = f"asked for by {client or NOBODY}"
    reason = DisconnectionReason.MANUAL_STOPPED
    event = Event(EventKind.STOPPED, request.app[CLOCK](), reason=reason, detail=detail)
    if call.is_active:
        call = await request.app[LIFECYCLE].apply(call.call_id, event) or call
        await request.app[ROOM_CLEANUP].delete_due()
    return web.json_response(await _with_deliveries(request, call))


@routes.post("/livekit-api/calls/{call_id}/transfer")
async def transfer(request: web.Request) -> web.Response:
    client = require_role(request, Role.DISPATCH)
    call = await _call(request)
    body = await read_body(request)
    target: str = load_json(request, body, _TRANSFER)["target"] if body else ""
    call = await request.app[TRANSFERS].request(call, target, by=client or NOBODY)
    return web.json_response(await _with_deliveries(request, call))


@routes.post("/livekit-api/calls/{call_id}/deliveries/{delivery_id}/retry")
async def retry_delivery(request: web.Request) -> web.Response:
    require_role(request, Role.DISPATCH)
    call_id, delivery_id = request.match_info["call_id"], request.match_info["delivery_id"]
    delivery = await request.app[OUTBOX].retry(call_id, delivery_id)
    if delivery is None:
        raise ApiError(ErrorCode.NOT_FOUND, f"call {call_id} has no delivery {delivery_id}")
    return web.json_response(delivery.view())


async def _call(request: web.Request) -> Call:
    call_id = request.match_info["call_id"]
    call = await request.app[REGISTRY].get(call_id)
    if call is None:
        raise ApiError(ErrorCode.NOT_FOUND, f"there is no call {call_id}, or not any more")
    return call


async def _with_deliveries(request: web.Request, call: Call) -> dict[str, object]:
    deliveries = [delivery.view() for delivery in await request.app[OUTBOX].of(call.call_id)]
    return {**whole(call), "deliveries": deliveries}


@routes.get("/livekit-api/diagnostics")
async def diagnostics(request: web.Request) -> web.Response:
    require_role(request, Role.READ)
    strategy = request.app[CONFIG].inbound.strategy
    counters = request.app[COUNTERS].view()
    refused = {"refused": request.app[LIMITS].refused}
    return web.json_response({"version": __version__, "strategy": strategy, **counters, **refused})


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    checks = {
        "livekit": await _livekit_state(request.app),
        "storage": await _storage_state(request.app),
        "draining": "draining" if request.app[HEALTH].draining else "ok",
    }
    ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if ready else "not_ready", "checks": checks}
    return web.json_response(body, status=200 if ready else 503)


async def _livekit_state(app: web.Application) -> str:
    try:
        await app[LIVEKIT].ping()
    except LiveKitError as error:
        return str(error)
    return "ok"


async def _storage_state(app: web.Application) -> str:
    try:
        await app[REGISTRY].count_active()
    except StorageUnavailable as error:
        return str(error)
    return "ok"
