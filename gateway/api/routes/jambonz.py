"""Endpoints for Jambonz's hooks: the call hook, call status, and the hooks of verbs."""

from aiohttp import web

from gateway.api.auth import JAMBONZ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.limits import Workload
from gateway.api.schemas.hooks import (
    CallHookSchema,
    CallIdQuerySchema,
    DialHookSchema,
    DialQuerySchema,
    GatherHookSchema,
    QueueHookSchema,
    ReferHookSchema,
    StatusHookSchema,
    UrlHookSchema,
)
from gateway.api.schemas.responses import ApplicationSettingsSchema, VerbSchema
from gateway.errors import ErrorCode
from gateway.jambonz import urls
from gateway.jambonz.hooks import (
    CallHook,
    DialHook,
    GatherHook,
    QueueHook,
    ReferHook,
    StatusHook,
)

VERBS = VerbSchema(many=True)

#: The settings that the Jambonz portal offers for an application with this call hook. Their values
#: arrive in the call hook's `env_vars`; jambonz-api-server requires a flat object.
APPLICATION_SETTINGS = {
    "AGENT_NAME": {
        "type": "string",
        "description": "LiveKit agent that takes the calls; empty for the gateway's default",
        "required": False,
    },
    "ACCOUNT_CODE": {
        "type": "string",
        "description": "Account code that the agent gets and that is shown with the call",
        "required": False,
    },
}


@Endpoint(
    "POST",
    urls.CALL_HOOK,
    "Call hook: a call arrives",
    authentication=JAMBONZ,
    body=CallHookSchema(),
    answers={200: VERBS},
    workload=Workload.NEW_CALLS,
)
async def call_hook(request: Request) -> web.Response:
    hook: CallHook = request.body
    request.services.counters.call_hook()
    return web.json_response(await request.services.inbound.on_call(hook))


@Endpoint(
    "OPTIONS",
    urls.CALL_HOOK,
    "The settings that the Jambonz portal offers for an application",
    authentication=None,  # the portal signs nothing, and the answer holds nothing secret
    answers={200: ApplicationSettingsSchema},
)
async def application_settings(request: Request) -> web.Response:
    return web.json_response(APPLICATION_SETTINGS)


@Endpoint(
    "POST",
    urls.DIAL_ACTION,
    "Action hook of a `dial`: `[]`, or verbs for the fallback",
    authentication=JAMBONZ,
    body=DialHookSchema(),
    query=DialQuerySchema(),
    answers={200: VERBS},
)
async def dial_action(request: Request) -> web.Response:
    hook: DialHook = request.body
    answer = await request.services.inbound.on_dial_action(hook, **request.query)
    return web.json_response(answer)


@Endpoint(
    "POST",
    urls.CALL_STATUS_HOOK,
    "Call status hook: the status of a leg has changed",
    authentication=JAMBONZ,
    body=StatusHookSchema(),
    answers={204: None},
)
async def call_status(request: Request) -> web.Response:
    hook: StatusHook = request.body
    request.services.counters.status_hook(request.services.clock())
    await request.services.inbound.on_status(hook)
    return web.Response(status=204)


@Endpoint(
    "POST",
    urls.REFER_HOOK,
    "Refer hook: verbs for the transfer; Jambonz answers the REFER with an error's HTTP status",
    authentication=JAMBONZ,
    body=ReferHookSchema(),
    answers={200: VERBS},
    raises=(
        ErrorCode.BAD_REFER_TO,
        ErrorCode.TRANSFER_NOT_ALLOWED,
        ErrorCode.NOT_FOUND,
        ErrorCode.TRANSFER_PENDING,
        ErrorCode.STORAGE_UNAVAILABLE,
    ),
)
async def refer(request: Request) -> web.Response:
    hook: ReferHook = request.body
    return web.json_response(await request.services.refers.on_refer(hook))


@Endpoint(
    "POST",
    urls.TRANSFER_ACTION,
    "Action hook of a transfer's `dial`: `[]`, or verbs for the fallback or back to the agent",
    authentication=JAMBONZ,
    body=DialHookSchema(),
    query=CallIdQuerySchema(),
    answers={200: VERBS},
)
async def transfer_action(request: Request) -> web.Response:
    hook: DialHook = request.body
    call_id: str = request.query["call_id"]
    return web.json_response(await request.services.transfers.on_transfer_action(hook, call_id))


@Endpoint(
    "POST",
    urls.CONFIRM_HOOK,
    "Confirm hook of an announced transfer: what its target hears",
    authentication=JAMBONZ,
    body=UrlHookSchema(),
    query=CallIdQuerySchema(),
    answers={200: VERBS},
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
)
async def confirm(request: Request) -> web.Response:
    call_id: str = request.query["call_id"]
    return web.json_response(await request.services.announced.on_confirm(call_id))


@Endpoint(
    "POST",
    urls.CONFIRM_ACTION,
    "Action hook of the `gather` that a transfer's target hears: they take the call, or not",
    authentication=JAMBONZ,
    body=GatherHookSchema(),
    query=CallIdQuerySchema(),
    answers={200: VERBS},
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
)
async def confirm_action(request: Request) -> web.Response:
    hook: GatherHook = request.body
    call_id: str = request.query["call_id"]
    return web.json_response(await request.services.announced.on_confirm_action(hook, call_id))


@Endpoint(
    "POST",
    urls.QUEUE_WAIT,
    "Wait hook of an `enqueue`: what the caller hears, or `leave`",
    authentication=JAMBONZ,
    body=UrlHookSchema(),
    query=CallIdQuerySchema(),
    answers={200: VERBS},
)
async def queue_wait(request: Request) -> web.Response:
    call_id: str = request.query["call_id"]
    return web.json_response(await request.services.inbound.on_queue_wait(call_id))


@Endpoint(
    "POST",
    urls.QUEUE_ACTION,
    "Action hook of an `enqueue`: the caller has left the queue",
    authentication=JAMBONZ,
    body=QueueHookSchema(),
    query=CallIdQuerySchema(),
    answers={200: VERBS},
)
async def queue_action(request: Request) -> web.Response:
    hook: QueueHook = request.body
    call_id: str = request.query["call_id"]
    return web.json_response(await request.services.inbound.on_queue_action(hook, call_id))
