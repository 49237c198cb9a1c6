"""The one place where an error becomes an answer."""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.api.client_address import address_of
from gateway.errors import ApiError, LiveKitRefused, LiveKitUnreachable, StorageUnavailable

log = structlog.get_logger()


@web.middleware
async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything raised behind it, as `{"error", "message", "details"}` with the status it has."""
    try:
        return await handler(request)
    except (ApiError, StorageUnavailable) as raised:
        error = raised if isinstance(raised, ApiError) else _away(raised)
        _note(request, error.status, error.code, error.message)
        return refusal(error)
    except LiveKitRefused as error:
        _note(request, 502, "livekit_refused", str(error))
        more: dict[str, Any] = {
            "twirp": {"code": error.code, "msg": error.message, "meta": error.meta}
        }
        if error.sip:
            more["sip"] = {"status_code": error.sip.status, "status": error.sip.reason}
        return _answer(502, "livekit_refused", error.told, **more)
    except LiveKitUnreachable as error:
        _note(request, 503, "livekit_unreachable", str(error))
        return _answer(503, "livekit_unreachable", str(error))
    except web.HTTPException as error:
        code, message = _EXPLAINED.get(error.status, (error.reason.lower().replace(" ", "_"), ""))
        _note(request, error.status, code, message)
        response = _answer(error.status, code, message or f"{request.method} {request.path}")
        if "Allow" in error.headers:
            response.headers["Allow"] = error.headers["Allow"]
        return response
    except Exception:
        log.exception("request.failed", method=request.method, path=request.path)
        return _answer(500, "internal", "this is a defect of the gateway; its log has the details")


def refusal(error: ApiError) -> web.Response:
    """The answer that `error` is."""
    details = {"details": error.details} if error.details else {}
    response = _answer(error.status, error.code, error.message, **details)
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


_EXPLAINED: Mapping[int, tuple[str, str]] = {
    404: ("not_found", "there is no such door; docs/architecture.md lists them"),
    405: ("method_not_allowed", "this door takes other methods, see the Allow header"),
    413: ("too_large", "the body is larger than limits.max_body_bytes"),
}


def _away(error: StorageUnavailable) -> ApiError:
    return ApiError(503, "storage_unavailable", f"try again: {error}", retry_after=1)


def _note(request: web.Request, status: int, code: str, message: str) -> None:
    log.warning(
        "request.refused",
        method=request.method,
        path=request.path,
        status=status,
        code=code,
        message=message,
        remote=str(address_of(request) or "unknown"),
    )


def _answer(status: int, code: str, message: str, **more: Any) -> web.Response:
    return web.json_response({"error": code, "message": message, **more}, status=status)
