"""`POST /dispatch`: n8n has an agent call a number."""

import hashlib
import json

from aiohttp import web

from gateway.api.auth import DISPATCH
from gateway.api.endpoints import Endpoint, Request
from gateway.api.limits import Workload
from gateway.api.schemas.calls import DispatchedSchema
from gateway.api.schemas.dispatch import DispatchRequest, DispatchSchema
from gateway.api.session_options import check_options_of
from gateway.calls.views import dispatch_answer
from gateway.errors import ApiError, ErrorCode
from gateway.storage.idempotency import MAX_KEY_LENGTH, clients_key


@Endpoint(
    "POST",
    "/dispatch",
    "Call a number and have an agent talk to the callee",
    authentication=DISPATCH,
    body=DispatchSchema(),
    headers={
        "Idempotency-Key": "requests with the same key are the same call; at most 255 characters"
    },
    answers={200: DispatchedSchema},
    raises=(
        ErrorCode.DESTINATION_NOT_ALLOWED,
        ErrorCode.IDEMPOTENCY_KEY_REUSED,
        ErrorCode.TOO_MANY_CALLS,
        ErrorCode.LIVEKIT_REFUSED,
        ErrorCode.NO_AGENT,
        ErrorCode.NO_TRUNK,
        ErrorCode.LIVEKIT_UNREACHABLE,
        ErrorCode.NOT_ANSWERED,
        ErrorCode.STORAGE_UNAVAILABLE,
    ),
    workload=Workload.DISPATCHES,
)
async def dispatch(request: Request) -> web.Response:
    dispatched: DispatchRequest = request.body
    call, agent = dispatched.call, request.services.config.agent
    check_options_of(agent, call.agent_name, call.session_options)
    key = _idempotency_key(request, dispatched)
    outbound = request.services.outbound
    made = await request.services.storage.idempotency.run(
        clients_key(request.client, key) if key else "",
        _fingerprint(request.raw) if key else "",
        lambda call_id: outbound.dispatch(call, call_id),
    )
    return web.json_response(dispatch_answer(made))


def _idempotency_key(request: Request, dispatched: DispatchRequest) -> str:
    """The body's key, else the header's. Raises ApiError 422.

    A header's bytes are Latin-1 (RFC 9110 §5.5): aiohttp takes them for UTF-8 where it can.
    """
    raw = request.http.headers.get("Idempotency-Key", "").encode(errors="surrogateescape")
    header = raw.decode("latin-1")
    if len(header) > MAX_KEY_LENGTH:
        message = f"Idempotency-Key: at most {MAX_KEY_LENGTH} characters"
        raise ApiError(ErrorCode.INVALID, message)
    return dispatched.idempotency_key or header


def _fingerprint(body: bytes) -> str:
    """Equal for bodies that differ only in white space and the order of their keys."""
    canonical = json.dumps(json.loads(body), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()
