"""`POST /livekit-api/web-calls`: the page calls the agent from the browser."""

from dataclasses import asdict

from aiohttp import web

from gateway.api.auth import DISPATCH
from gateway.api.endpoints import Endpoint, Request, client_of
from gateway.api.limits import Workload
from gateway.api.schemas.web_calls import WebCallSchema, WebCallTokenSchema
from gateway.api.session_options import check_options_of
from gateway.errors import ErrorCode
from gateway.history.audit import Action
from gateway.inbound.web_calls import WebCallRequest


@Endpoint(
    "POST",
    "/livekit-api/web-calls",
    "Call the agent from a browser, which joins the room with the token as the caller",
    authentication=DISPATCH,
    body=WebCallSchema(),
    answers={200: WebCallTokenSchema},
    raises=(
        ErrorCode.WEB_CALLS_OFF,
        ErrorCode.TOO_MANY_CALLS,
        ErrorCode.LIVEKIT_UNREACHABLE,
        ErrorCode.STORAGE_UNAVAILABLE,
    ),
    workload=Workload.DISPATCHES,
)
async def start_web_call(request: Request) -> web.Response:
    services, client = request.services, client_of(request)
    call: WebCallRequest = request.body
    check_options_of(services.config.agent, call.agent_name, call.session_options)
    started = await services.web_calls.start(call, by=client)
    services.audit.record(Action.WEB_CALL, client=client, call_id=started.call_id)
    return web.json_response(asdict(started))
