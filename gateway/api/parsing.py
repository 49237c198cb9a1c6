"""Bodies and query strings to checked values, or an ApiError that says what to send instead."""

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from aiohttp import web
from marshmallow import Schema, ValidationError, fields

from gateway.api.limits import Limits
from gateway.api.services import SERVICES
from gateway.errors import ApiError, ErrorCode

#: How deep JSON may be nested: well within what Python can encode again.
MAX_DEPTH = 64
CONTINUE = "100-continue"


async def check_expectation(request: web.Request) -> None:
    """Refuse an Expect header that asks for something else than `read_body()` has (RFC 9110)."""
    if request.headers["Expect"].lower() != CONTINUE:
        raise web.HTTPExpectationFailed


async def read_body(request: web.Request, *, is_proven: bool = True) -> bytes:
    """The body's bytes, which have `limits.read_timeout` to arrive.

    Bodies of clients that have proven nothing yet are bounded together, see `Limits`.
    Raises ApiError 400, 408 or 503, HTTPRequestEntityTooLarge.
    """
    services = request.app[SERVICES]
    limit = services.config.limits.read_timeout
    if (request.content_length or 0) > services.config.limits.max_body_bytes:
        raise web.HTTPRequestEntityTooLarge(services.config.limits.max_body_bytes, 0)
    if request.headers.get("Expect", "").lower() == CONTINUE:
        # The client has not sent its body yet: it waits to see whether it may.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    try:
        if request.content.is_eof():  # most bodies come with their headers: no timer is needed
            return await request.read()
        async with asyncio.timeout(limit):
            if is_proven:
                return await request.read()
            return await _read_bounded(request, services.limits)
    except TimeoutError as error:
        message = f"the body did not arrive within {limit:g} s"
        raise ApiError(ErrorCode.TOO_SLOW, message) from error
    except web.RequestPayloadError as error:
        message = "the body is not encoded as its headers say"
        raise ApiError(ErrorCode.UNREADABLE, message) from error


async def _read_bounded(request: web.Request, limits: Limits) -> bytes:
    body = bytearray()
    with limits.unproven_body() as count:
        while chunk := await request.content.readany():
            body += chunk
            count(len(body))
            if len(body) > request.client_max_size:
                raise web.HTTPRequestEntityTooLarge(request.client_max_size, len(body))
    return bytes(body)


def load_json(request: web.Request, body: bytes, schema: Schema) -> Any:
    """`body` as `schema` loads it. Raises ApiError 415, 400 or 422."""
    if request.content_type != "application/json":
        message = f"send Content-Type: application/json, not {request.content_type}"
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message)
    try:
        data = parsed(body.decode())
    except (ValueError, RecursionError) as error:
        raise ApiError(ErrorCode.NOT_JSON, f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        details = {"_": "not an object"}
        raise ApiError(ErrorCode.INVALID, "the body must be a JSON object", details)
    return load(schema, data)


def load_query(request: web.Request, schema: Schema) -> Any:
    """The query string as `schema` loads it, each name once but for lists. Raises ApiError 422."""
    query: dict[str, Any] = dict(request.query)
    repeated = {}
    for name in query:
        values = request.query.getall(name)
        if isinstance(schema.load_fields.get(name), fields.List):
            query[name] = [value for value in values if value.strip()] or None
        elif len(values) > 1:
            repeated[name] = ["Given more than once."]
    if repeated:
        message = f"given more than once: {', '.join(repeated)}"
        raise ApiError(ErrorCode.INVALID, message, repeated)
    return load(schema, query)


def load(schema: Schema, data: Mapping[str, Any]) -> Any:
    try:
        return schema.load(data)
    except ValidationError as error:
        details = error.messages_dict
        fields = ", ".join(str(name) for name in details)
        raise ApiError(ErrorCode.INVALID, f"cannot use: {fields}", details) from error


def parsed(text: str) -> Any:
    """`text` as JSON that can be encoded again (RFC 8259). Raises ValueError, RecursionError.

    Numbers are finite and nesting is bounded. Half a surrogate pair (§8.2), which a text that was
    cut may end with, becomes "?": nothing could encode it, and no call should fail for it.
    """
    text = text.removeprefix("\ufeff")
    data = _DECODER.decode(text)
    if text.count("[") + text.count("{") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise ValueError(f"it is nested deeper than {MAX_DEPTH} levels")
    if "\\ud" in text or "\\uD" in text:
        data = json.loads(json.dumps(data, ensure_ascii=False).encode(errors="replace"))
    return data


def _depth(data: Any) -> int:
    depth, level = 0, [data]
    while level := [node for node in level if isinstance(node, dict | list)]:
        depth += 1
        level = [
            child for node in level for child in (node.values() if isinstance(node, dict) else node)
        ]
    return depth


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits[:20]} is too large")
    return number


_DECODER = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite)
