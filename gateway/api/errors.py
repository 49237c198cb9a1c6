"""The one place where an error becomes an answer."""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.client_address import address_of
from gateway.errors import (
    ApiError,
    ErrorCode,
    LiveKitRefused,
    LiveKitUnreachable,
    StorageUnavailable,
)

log = structlog.get_logger()


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything raised behind it, as `{"error", "message", "details"}` with the status it has."""
    try:
        return await handler(request)
    except (ApiError, StorageUnavailable) as raised:
        error = raised if isinstance(raised, ApiError) else _away(raised)
        _note(request, error.code, error.message)
        return refusal(error)
    except LiveKitRefused as error:
        _note(request, ErrorCode.LIVEKIT_REFUSED, str(error))
        more: dict[str, Any] = {
            "twirp": {"code": error.code, "msg": error.message, "meta": error.meta}
        }
        if error.sip:
            more["sip"] = {"status_code": error.sip.status, "status": error.sip.reason}
        return _answer(ErrorCode.LIVEKIT_REFUSED, error.reason, **more)
    except LiveKitUnreachable as error:
        _note(request, ErrorCode.LIVEKIT_UNREACHABLE, str(error))
        return _answer(ErrorCode.LIVEKIT_UNREACHABLE, str(error))
    except web.HTTPException as error:
        code, message = _FROM_AIOHTTP.get(error.status, (ErrorCode.BAD_REQUEST, error.reason))
        _note(request, code, message)
        response = _answer(code, message)
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("request.failed", method=request.method, path=request.path)
        return _answer(ErrorCode.INTERNAL, "the gateway has a defect; its log has the details")


def refusal(error: ApiError) -> web.Response:
    """The answer that `error` is."""
    details = {"details": error.details} if error.details else {}
    response = _answer(error.code, error.message, **details)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


#: What aiohttp itself raises, by status.
_FROM_AIOHTTP: Mapping[int, tuple[ErrorCode, str]] = {
    404: (ErrorCode.NOT_FOUND, "there is no such endpoint; docs/http-api.md lists them"),
    405: (ErrorCode.METHOD_NOT_ALLOWED, "the endpoint takes other methods, see the Allow header"),
    413: (ErrorCode.TOO_LARGE, "the body is larger than limits.max_body_bytes"),
    417: (ErrorCode.EXPECTATION_FAILED, "the only expectation the gateway meets is 100-continue"),
}


def _away(error: StorageUnavailable) -> ApiError:
    return ApiError(ErrorCode.STORAGE_UNAVAILABLE, f"try again: {error}", retry_after=1)


def _note(request: web.Request, code: ErrorCode, message: str) -> None:
    log.warning(
        "request.refused",
        method=request.method,
        path=request.path,
        status=code.status.value,
        code=code,
        message=message,
        remote=str(address_of(request) or "unknown"),
    )


def _answer(code: ErrorCode, message: str, **more: Any) -> web.Response:
    return web.json_response({"error": code, "message": message, **more}, status=code.status)
