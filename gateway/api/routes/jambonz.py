"""Jambonz's doors: the call hook, the portal's question, and what it asks later in a call."""

from aiohttp import web

from gateway.api.auth import verified_jambonz_body
from gateway.api.keys import INBOUND, TRANSFERS
from gateway.api.parsing import load_json, load_query
from gateway.api.schemas.hooks import (
    CallHookSchema,
    CallIdQuerySchema,
    DialHookSchema,
    FallbackQuerySchema,
    QueueHookSchema,
    ReferHookSchema,
    StatusHookSchema,
    WaitHookSchema,
)
from gateway.jambonz.hooks import CallHook, DialHook, QueueHook, ReferHook, StatusHook

routes = web.RouteTableDef()

_CALL_HOOK = CallHookSchema()
_DIAL_HOOK = DialHookSchema()
_STATUS_HOOK = StatusHookSchema()
_FALLBACK_QUERY = FallbackQuerySchema()
_REFER_HOOK = ReferHookSchema()
_WAIT_HOOK = WaitHookSchema()
_QUEUE_HOOK = QueueHookSchema()
_CALL_ID_QUERY = CallIdQuerySchema()

#: What the Jambonz portal offers to set for an application that uses our call hook. Flat, as its
#: API server wants it; the values come back in the call hook's `env_vars`.
APPLICATION_SETTINGS = {
    "AGENT_NAME": {
        "type": "string",
        "description": "LiveKit agent that takes the calls; empty for the gateway's default",
        "required": False,
    },
    "ACCOUNT_CODE": {
        "type": "string",
        "description": "Account code that is given to the agent and shown with the call",
        "required": False,
    },
}


@routes.post("/livekit-api")
async def call_hook(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    hook: CallHook = load_json(request, body, _CALL_HOOK)
    return web.json_response(await request.app[INBOUND].on_call(hook))


@routes.options("/livekit-api")
async def application_settings(request: web.Request) -> web.Response:
    # The portal asks unsigned; there is nothing in the answer that is not in the documentation.
    return web.json_response(APPLICATION_SETTINGS)


@routes.post("/livekit-api/dial-action")
async def dial_action(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    hook: DialHook = load_json(request, body, _DIAL_HOOK)
    fallback: int = load_query(request, _FALLBACK_QUERY)["fallback"]
    return web.json_response(await request.app[INBOUND].on_dial_action(hook, fallback=fallback))


@routes.post("/livekit-api/call-status")
async def call_status(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    hook: StatusHook = load_json(request, body, _STATUS_HOOK)
    await request.app[INBOUND].on_status(hook)
    return web.Response(status=204)


@routes.post("/livekit-api/refer")
async def refer(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    hook: ReferHook = load_json(request, body, _REFER_HOOK)
    # Refusals are HTTP errors: Jambonz answers the REFER with the same number.
    return web.json_response(await request.app[TRANSFERS].on_refer(hook))


@routes.post("/livekit-api/transfer-action")
async def transfer_action(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    hook: DialHook = load_json(request, body, _DIAL_HOOK)
    call_id: str = load_query(request, _CALL_ID_QUERY)["call_id"]
    return web.json_response(await request.app[TRANSFERS].on_transfer_action(hook, call_id))


@routes.post("/livekit-api/queue-wait")
async def queue_wait(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    load_json(request, body, _WAIT_HOOK)
    call_id: str = load_query(request, _CALL_ID_QUERY)["call_id"]
    return web.json_response(await request.app[INBOUND].on_queue_wait(call_id))


@routes.post("/livekit-api/queue-action")
async def queue_action(request: web.Request) -> web.Response:
    body = await verified_jambonz_body(request)
    hook: QueueHook = load_json(request, body, _QUEUE_HOOK)
    call_id: str = load_query(request, _CALL_ID_QUERY)["call_id"]
    return web.json_response(await request.app[INBOUND].on_queue_action(hook, call_id))
