"""n8n's door: `POST /dispatch`, as the n8n guide has it."""

import hashlib
import json

from aiohttp import web

from gateway.api.auth import require_role
from gateway.api.keys import IDEMPOTENCY, OUTBOUND
from gateway.api.limits import LIMITS
from gateway.api.parsing import load_json, read_body
from gateway.api.schemas.dispatch import DispatchRequest, DispatchSchema
from gateway.calls.call import Call
from gateway.errors import ApiError, ErrorCode
from gateway.security.api_keys import Role

routes = web.RouteTableDef()

_DISPATCH = DispatchSchema()


@routes.post("/dispatch")
async def dispatch(request: web.Request) -> web.Response:
    client = require_role(request, Role.DISPATCH)
    request.app[LIMITS].check_rate(request, client)
    body = await read_body(request)
    asked: DispatchRequest = load_json(request, body, _DISPATCH)
    key = _key(request, asked)
    outbound = request.app[OUTBOUND]
    call = await request.app[IDEMPOTENCY].run(
        f"{client}:{key}" if key else "",
        _fingerprint(body) if key else "",
        lambda call_id: outbound.dispatch(asked.order, call_id),
    )
    return web.json_response(dispatched(call))


def dispatched(call: Call) -> dict[str, object]:
    """The answer to a dispatch: the guide's, and what the call's life goes by."""
    return {
        "dispatch_id": call.livekit.get("dispatch_id"),
        "job_id": call.livekit.get("job_id"),
        "room": call.call_id,
        "agent_name": call.agent_name,
        "metadata": call.metadata,
        "call_id": call.call_id,
        "call_status": call.call_status,
    }


def _key(request: web.Request, asked: DispatchRequest) -> str:
    header = request.headers.get("Idempotency-Key", "")
    if len(header) > 255:
        raise ApiError(ErrorCode.INVALID, "Idempotency-Key: at most 255 characters")
    return asked.idempotency_key or header


def _fingerprint(body: bytes) -> str:
    """The same for bodies that say the same, whatever their white space and order."""
    canonical = json.dumps(json.loads(body), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
