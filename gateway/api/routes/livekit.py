"""LiveKit's webhooks and the agent worker's reports."""

from aiohttp import web

from gateway.api.auth import LIVEKIT
from gateway.api.endpoints import Endpoint, Request
from gateway.api.schemas.report import AgentReport, AgentReportSchema
from gateway.api.schemas.webhook import WEBHOOK_EVENT
from gateway.calls.call import Event
from gateway.errors import ApiError, ErrorCode
from gateway.livekit.webhooks import MalformedEvent, read_webhook


@Endpoint(
    "POST",
    "/livekit/webhook",
    "A webhook event of LiveKit",
    authentication=LIVEKIT,
    raw_body=WEBHOOK_EVENT,
    answers={204: None},
    raises=(ErrorCode.NOT_AN_EVENT,),
)
async def webhook(request: Request) -> web.Response:
    services, now = request.services, request.services.clock()
    try:
        event = read_webhook(request.raw, now)
    except MalformedEvent as error:
        raise ApiError(ErrorCode.NOT_AN_EVENT, str(error)) from error
    services.counters.webhook(event.room, now)
    await services.reconciler.on_webhook(event)
    return web.Response(status=204)


@Endpoint(
    "POST",
    "/livekit-api/calls/{call_id}/report",
    "The agent worker reports on a call",
    authentication=LIVEKIT,
    body=AgentReportSchema(),
    answers={204: None},
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
)
async def report(request: Request) -> web.Response:
    content: AgentReport = request.body
    services = request.services
    # Without storage this is a 503, and the worker, which can store its report on disk, retries.
    await services.storage.registry.get(request.call_id)
    event = Event(
        content.kind,
        services.clock(),
        reason=content.reason,
        ids={"job_id": content.job_id},
        report=content.report,
        silence=content.silence,
        detail=content.detail,
    )
    await services.lifecycle.apply(request.call_id, event)
    return web.Response(status=204)
