"""Bytes and query strings → checked values, or an ApiError that says what to send instead."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from marshmallow import Schema, ValidationError

from gateway.errors import ApiError
from gateway.web.keys import CONFIG


async def read_body(request: web.Request) -> bytes:
    """The body, which is given `limits.read_timeout` to arrive. Raises ApiError 408."""
    limit = request.app[CONFIG].limits.read_timeout
    try:
        async with asyncio.timeout(limit):
            return await request.read()
    except TimeoutError as error:
        message = f"the body did not arrive within {limit:g} s"
        raise ApiError(408, "too_slow", message) from error


def load_json(request: web.Request, body: bytes, schema: Schema) -> Any:
    """`body` as `schema` has it. Raises ApiError 415, 400 or 422."""
    if request.content_type != "application/json":
        raise ApiError(
            415,
            "unsupported_media_type",
            f"send Content-Type: application/json, not {request.content_type}",
        )
    try:
        data = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "not_json", f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ApiError(422, "invalid", "the body must be a JSON object", {"_": "not an object"})
    return load(schema, data)


def load_query(request: web.Request, schema: Schema) -> Any:
    """The query string as `schema` has it. Raises ApiError 422."""
    return load(schema, dict(request.query))


def load(schema: Schema, data: Mapping[str, Any]) -> Any:
    try:
        return schema.load(data)
    except ValidationError as error:
        details = error.messages_dict
        named = ", ".join(str(name) for name in details)
        raise ApiError(422, "invalid", f"cannot use: {named}", details) from error
