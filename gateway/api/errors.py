"""The one place where an error becomes a response."""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.client_address import address_of
from gateway.errors import (
    ApiError,
    DialFailed,
    ErrorCode,
    GatewayError,
    LiveKitError,
    LiveKitRefused,
    RecordUnreadable,
    StorageUnavailable,
    in_plain_words,
)

log = structlog.get_logger()

#: What aiohttp itself raises, by HTTP status: our code, and what the client can do.
_AIOHTTP_ERRORS: Mapping[int, tuple[ErrorCode, str]] = {
    404: (ErrorCode.NOT_FOUND, "no endpoint has this path; docs/http-api.md lists them"),
    405: (ErrorCode.METHOD_NOT_ALLOWED, "the endpoint takes other methods, see the Allow header"),
    413: (ErrorCode.TOO_LARGE, "the body is larger than limits.max_body_bytes"),
    417: (ErrorCode.EXPECTATION_FAILED, "the only expectation that is met is 100-continue"),
}

_EXPECTED = (ApiError, StorageUnavailable, RecordUnreadable, LiveKitError)


@web.middleware
async def errors_to_responses(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever is raised behind it, as `{"error", "message", "details"}` with its HTTP status."""
    try:
        return await handler(request)
    except DialFailed as error:
        return _refusal(request, error.cause)
    except (*_EXPECTED, web.HTTPException) as error:
        return _refusal(request, error)
    except Exception:
        log.exception("request.failed", method=request.method, path=request.path)
        return _response(ErrorCode.INTERNAL, ErrorCode.INTERNAL.description)


def error_response(error: ApiError) -> web.Response:
    """The response that `error` stands for."""
    details = {"details": error.details} if error.details else {}
    response = _response(error.code, error.message, **_call_of(error), **details)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _refusal(
    request: web.Request,
    error: ApiError | StorageUnavailable | RecordUnreadable | LiveKitError | web.HTTPException,
) -> web.Response:
    match error:
        case ApiError():
            known = error
        case StorageUnavailable() | RecordUnreadable():
            known = ApiError(ErrorCode.STORAGE_UNAVAILABLE, f"retry: {error}", retry_after=1)
            known.call_id = error.call_id
        case LiveKitRefused():
            _log_refusal(request, ErrorCode.LIVEKIT_REFUSED, str(error))
            return _livekit_refused(error)
        case LiveKitError():
            known = ApiError(ErrorCode.LIVEKIT_UNREACHABLE, in_plain_words(str(error)))
        case _:
            return _aiohttp_error(request, error)
    _log_refusal(request, known.code, known.message)
    return error_response(known)


def _livekit_refused(error: LiveKitRefused) -> web.Response:
    """LiveKit's own error, and the carrier's SIP status where that was the cause."""
    extra: dict[str, Any] = {
        **_call_of(error),
        "twirp": {"code": error.code, "msg": error.message, "meta": error.meta},
    }
    if error.sip:
        extra["sip"] = {"status_code": error.sip.status, "status": error.sip.reason}
    return _response(ErrorCode.LIVEKIT_REFUSED, error.reason, **extra)


def _call_of(error: GatewayError) -> dict[str, str]:
    """The call that was made before the error, if one was."""
    return {"call_id": error.call_id} if error.call_id else {}


def _aiohttp_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """aiohttp's own error in our shape, with its `Allow` header."""
    code, message = _AIOHTTP_ERRORS.get(error.status, (ErrorCode.BAD_REQUEST, error.reason))
    _log_refusal(request, code, message)
    response = _response(code, message)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _log_refusal(request: web.Request, code: ErrorCode, message: str) -> None:
    log.warning(
        "request.refused",
        method=request.method,
        path=request.path,
        status=code.status,
        code=code,
        message=message,
        remote=str(address_of(request) or "unknown"),
    )


def _response(code: ErrorCode, message: str, **extra: Any) -> web.Response:
    return web.json_response({"error": code, "message": message, **extra}, status=code.status)
