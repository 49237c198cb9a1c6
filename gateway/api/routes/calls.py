"""Calls for ops and n8n: list them, show one, end it, transfer it, retry its callbacks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from gateway.api.auth import DISPATCH, LIVEKIT, READ
from gateway.api.endpoints import Endpoint, Request, client_of
from gateway.api.limits import Workload
from gateway.api.schemas.calls import CallSchema, CallsSchema, DeliverySchema
from gateway.api.schemas.listing import ListQuery, ListQuerySchema, write_cursor
from gateway.api.schemas.transfer import TransferSchema
from gateway.api.stored_call import not_found, stored_call
from gateway.calls.call import Call, Event, EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.errors import ApiError, ErrorCode
from gateway.history.audit import Action
from gateway.storage.idempotency import clients_key

#: Why a transfer may be refused.
TRANSFER_ERRORS = (
    ErrorCode.TRANSFER_NOT_ALLOWED,
    ErrorCode.NOT_FOUND,
    ErrorCode.NOT_ONGOING,
    ErrorCode.TRANSFER_PENDING,
    ErrorCode.LIVEKIT_REFUSED,
    ErrorCode.LIVEKIT_UNREACHABLE,
    ErrorCode.NO_TRUNK,
    ErrorCode.STORAGE_UNAVAILABLE,
)
#: The agent's, where it requests a transfer.
AGENT = "the agent"


@Endpoint(
    "GET",
    "/livekit-api/calls",
    "Calls, newest first; ended ones with `include=ended` or a `status` that is an end",
    authentication=READ,
    query=ListQuerySchema(),
    answers={200: CallsSchema},
    raises=(ErrorCode.STORAGE_UNAVAILABLE,),
    workload=Workload.NEW_CALLS,
)
async def list_calls(request: Request) -> web.Response:
    query: ListQuery = request.query
    services = request.services
    call_filter, keys = query.call_filter, await _keys_of_calls(request)
    if query.idempotency_keys:
        call_filter = replace(call_filter, call_ids=frozenset(keys))
    page = await services.calls.page(call_filter, limit=query.limit, after=query.after, keys=keys)
    return web.json_response(
        {
            "calls": page.calls,
            "active": await services.storage.registry.count_active(),
            "next_cursor": write_cursor(page.next),
            "is_complete": page.is_complete,
        }
    )


@Endpoint(
    "GET",
    "/livekit-api/calls/{call_id}",
    "A call with its timeline, report and deliveries",
    authentication=READ,
    answers={200: CallSchema},
    raises=(ErrorCode.NOT_FOUND, ErrorCode.STORAGE_UNAVAILABLE),
)
async def show_call(request: Request) -> web.Response:
    return await _call_response(request)


@Endpoint(
    "POST",
    "/livekit-api/calls/{call_id}/hangup",
    "End a call",
    authentication=DISPATCH,
    answers={200: CallSchema},
    raises=(ErrorCode.NOT_FOUND, ErrorCode.STORAGE_UNAVAILABLE),
)
async def hang_up(request: Request) -> web.Response:
    services = request.services
    call = await services.storage.registry.get(request.call_id)
    if call and call.is_active:
        services.audit.record(Action.HANG_UP, client=client_of(request), call_id=call.call_id)
        event = Event(
            EventKind.STOPPED,
            services.clock(),
            reason=DisconnectionReason.MANUAL_STOPPED,
            detail=f"requested by {client_of(request)}",
        )
        await services.lifecycle.apply(call.call_id, event)
        await services.room_cleanup.delete_due()
    return await _call_response(request)


@Endpoint(
    "POST",
    "/livekit-api/calls/{call_id}/transfer",
    "Transfer a call to `target`, by default to the call's own `transfer_target`",
    authentication=DISPATCH,
    body=TransferSchema(),
    body_required=False,
    answers={200: CallSchema},
    raises=TRANSFER_ERRORS,
)
async def transfer(request: Request) -> web.Response:
    order: Mapping[str, Any] = request.body or {"target": ""}
    call, client = await _call(request), client_of(request)
    await request.services.transfers.request(call, by=client, **order)
    request.services.audit.record(
        Action.TRANSFER, client=client, call_id=call.call_id, detail=order["target"]
    )
    return await _call_response(request)


@Endpoint(
    "POST",
    "/livekit-api/calls/{call_id}/report/transfer",
    "The agent has its caller transferred",
    authentication=LIVEKIT,
    body=TransferSchema(),
    answers={204: None},
    raises=TRANSFER_ERRORS,
)
async def agents_transfer(request: Request) -> web.Response:
    call = await _call(request)
    await request.services.transfers.request(call, by=AGENT, **request.body)
    return web.Response(status=204)


@Endpoint(
    "POST",
    "/livekit-api/calls/{call_id}/deliveries/{delivery_id}/retry",
    "Deliver a callback once more",
    authentication=DISPATCH,
    answers={200: DeliverySchema},
    raises=(ErrorCode.NOT_FOUND, ErrorCode.STORAGE_UNAVAILABLE),
)
async def retry_delivery(request: Request) -> web.Response:
    delivery_id = request.http.match_info["delivery_id"]
    delivery = await request.services.storage.outbox.retry(request.call_id, delivery_id)
    if delivery is None:
        message = f"call {request.call_id} has no delivery {delivery_id}"
        raise ApiError(ErrorCode.NOT_FOUND, message)
    request.services.audit.record(
        Action.RETRY, client=client_of(request), call_id=request.call_id, detail=delivery.event
    )
    return web.json_response(delivery.view())


async def _keys_of_calls(request: Request) -> Mapping[str, str]:
    """The id of each call that the query's idempotency keys lead to, with its key."""
    own = {clients_key(request.client, key): key for key in request.query.idempotency_keys}
    found = await request.services.storage.idempotency.find(list(own))
    return {call_id: own[key] for key, call_id in found.items()}


async def _call(request: Request) -> Call:
    """The call that the path names. Raises ApiError 404, StorageUnavailable."""
    call = await request.services.storage.registry.get(request.call_id)
    if call is None:
        raise not_found(request)
    return call


async def _call_response(request: Request) -> web.Response:
    return web.json_response(await stored_call(request))
