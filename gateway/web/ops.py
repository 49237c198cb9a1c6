"""Ops' doors: the calls there are, and whether the gateway lives and is ready."""

from aiohttp import web

from gateway.errors import ApiError, LiveKitError
from gateway.settings import Role
from gateway.web.keys import HEALTH, LIVEKIT, REGISTRY
from gateway.web.listing import ListQuery, ListQuerySchema, summary, whole, write_cursor
from gateway.web.load import load_query
from gateway.web.proof import require

routes = web.RouteTableDef()

_QUERY = ListQuerySchema()


@routes.get("/livekit-api/calls")
async def list_calls(request: web.Request) -> web.Response:
    require(request, Role.READ)
    query: ListQuery = load_query(request, _QUERY)
    registry = request.app[REGISTRY]
    page = await registry.page(query.wanted, limit=query.limit, after=query.after)
    return web.json_response(
        {
            "calls": [summary(call) for call in page.calls],
            "active": await registry.count_active(),
            "next_cursor": write_cursor(page.next),
        }
    )


@routes.get("/livekit-api/calls/{call_id}")
async def one_call(request: web.Request) -> web.Response:
    require(request, Role.READ)
    call_id = request.match_info["call_id"]
    call = await request.app[REGISTRY].get(call_id)
    if call is None:
        raise ApiError(404, "not_found", f"there is no call {call_id}, or not any more")
    return web.json_response(whole(call))


@routes.get("/healthz")
async def healthz(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@routes.get("/readyz")
async def readyz(request: web.Request) -> web.Response:
    checks = {
        "livekit": await _livekit_state(request.app),
        "registry": await _registry_state(request.app),
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


async def _registry_state(app: web.Application) -> str:
    await app[REGISTRY].count_active()
    return "ok"
