"""The call that a path names, as everybody who shows it gets it."""

from collections.abc import Mapping
from typing import Any

from gateway.api.endpoints import Request
from gateway.errors import ApiError, ErrorCode


async def stored_call(request: Request) -> Mapping[str, Any]:
    """Everything about it. Raises ApiError 404, StorageUnavailable, RecordUnreadable."""
    call = await request.services.calls.get(request.call_id)
    if call is None:
        raise not_found(request)
    return call


def not_found(request: Request) -> ApiError:
    message = f"no call {request.call_id} is stored; it may have expired"
    return ApiError(ErrorCode.NOT_FOUND, message)
