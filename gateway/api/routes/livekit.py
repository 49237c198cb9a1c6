"""LiveKit's door and the agent worker's: webhooks and reports, both proven by the LiveKit key."""

from aiohttp import web

from gateway.api.auth import livekit_body
from gateway.api.keys import CLOCK, COUNTERS, LIFECYCLE, RECONCILER, REGISTRY
from gateway.api.parsing import load_json
from gateway.api.schemas.hooks import AgentReport, AgentReportSchema
from gateway.calls.call import Event
from gateway.errors import ApiError, ErrorCode
from gateway.livekit.webhooks import MalformedEvent, read_webhook

routes = web.RouteTableDef()

_REPORT = AgentReportSchema()


@routes.post("/livekit/webhook")
async def webhook(request: web.Request) -> web.Response:
    body = await livekit_body(request)
    try:
        signal = read_webhook(body, request.app[CLOCK]())
    except MalformedEvent as error:
        raise ApiError(ErrorCode.NOT_AN_EVENT, str(error)) from error
    request.app[COUNTERS].webhook(signal.room, request.app[CLOCK]())
    await request.app[RECONCILER].on_webhook(signal)
    return web.Response(status=204)


@routes.post("/livekit-api/calls/{call_id}/report")
async def report(request: web.Request) -> web.Response:
    body = await livekit_body(request)
    told: AgentReport = load_json(request, body, _REPORT)
    call_id = request.match_info["call_id"]
    # While the registry is away this is a 503: the agent keeps its report better than we could.
    await request.app[REGISTRY].get(call_id)
    event = Event(
        told.kind,
        request.app[CLOCK](),
        ids={"job_id": told.job_id},
        report=told.report,
        detail=told.detail,
    )
    await request.app[LIFECYCLE].apply(call_id, event)
    return web.Response(status=204)
