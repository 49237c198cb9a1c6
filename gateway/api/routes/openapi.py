"""`GET /openapi.json`: the doors as an OpenAPI 3.1 document, made of the schemas they read with."""

import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from gateway import __version__
from gateway.api import keys
from gateway.api.auth import require_role
from gateway.api.endpoints import ENDPOINTS, PATH_PARAMETERS, Endpoint, Shape
from gateway.api.schemas.dispatch import Number
from gateway.api.schemas.hooks import SipHeaders, SipStatus, Text, TextMap
from gateway.api.schemas.listing import Cursor, Moment
from gateway.api.schemas.responses import ErrorSchema
from gateway.errors import RETRY_AFTER_CODES, ErrorCode
from gateway.security.api_keys import Role

routes = web.RouteTableDef()

_PROOFS: Mapping[str, Mapping[str, str]] = {
    "jambonzSignature": {
        "type": "apiKey",
        "in": "header",
        "name": "Jambonz-Signature",
        "description": "t=<unix seconds>,v1=<hex of HMAC-SHA256(webhook secret, t + '.' + body)>",
    },
    "jambonzBasicAuth": {
        "type": "http",
        "scheme": "basic",
        "description": "a user name and password of JAMBONZ_WEBHOOK_AUTH",
    },
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "an API key of GATEWAY_API_KEYS: role `read` to ask, `dispatch` to act",
    },
    "apiKey": {
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "the same API key",
    },
    "livekitToken": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "signed with the LiveKit key; claim sha256: the body's, in base64",
    },
}

#: What our own kinds of field are in JSON.
_FIELDS: Mapping[type[fields.Field[Any]], Mapping[str, Any]] = {
    Text: {"type": "string"},
    TextMap: {"type": "object", "description": "values that are no plain ones are left out"},
    SipHeaders: {
        "type": "object",
        "properties": {"headers": {"type": ["object", "null"]}},
        "description": "the INVITE",
    },
    SipStatus: {"description": "a SIP status; anything else is taken as not known"},
    Number: {
        "type": "string",
        "description": "digits, E.164, tel: or sip:user@host",
        "examples": ["61491570156"],
    },
    Moment: {"type": "string", "description": "ms since epoch, or ISO 8601"},
    Cursor: {"type": "string", "description": "the next_cursor of the page before"},
}


@routes.get("/openapi.json")
async def openapi(request: web.Request) -> web.Response:
    require_role(request, Role.READ)
    return web.Response(text=request.app[keys.OPENAPI], content_type="application/json")


def document() -> str:
    """The document as JSON text; see docs/architecture.md for how it is checked."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(
        "jambonz-livekit-gateway", __version__, "3.1.0", [plugin], info={"license": {"name": "MIT"}}
    )
    converter = plugin.converter
    assert converter  # noqa: S101 - APISpec() has just set it
    converter.add_attribute_function(_as_json)  # type: ignore[no-untyped-call]  # apispec's own
    for name, proof in _PROOFS.items():
        spec.components.security_scheme(name, dict(proof))
    spec.components.schema("Error", schema=ErrorSchema)
    for door in ENDPOINTS:
        query = converter.schema2parameters(door.query, location="query") if door.query else []
        spec.path(door.path, operations={door.method: _operation(door, query)})
    return json.dumps(spec.to_dict())


def _name(schema: Schema | type[Schema]) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.strip("_").removesuffix("Schema")


def _as_json(converter: object, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """What apispec cannot know of `field`; it hands in what it has so far as `ret`."""
    if ret.get("default", "") is None:
        del ret["default"]  # "not given", which is no value that one could send
    shape = dict(_FIELDS.get(type(field), {}))
    if isinstance(field, fields.Enum):
        shape["type"] = "string"
    if field.allow_none and "type" in shape:
        shape["type"] = [shape["type"], "null"]
    if "pattern" in ret:  # marshmallow matches from the start, ECMA-262 has no \Z
        shape["pattern"] = "^" + ret["pattern"].replace(r"\Z", "$")
    return shape


def _operation(door: Endpoint, query: list[dict[str, Any]]) -> dict[str, Any]:
    """The Operation Object; `query` are its parameters as apispec has them."""
    named = re.sub(r"\W+", "_", door.path).strip("_")
    operation: dict[str, Any] = {
        "operationId": f"{door.method}_{named}",
        "tags": [door.client],
        "summary": door.summary,
        "parameters": [*_parameters(door), *(_in_query(one) for one in query)],
        "responses": {**_answers(door), **_refusals(door)},
        "security": [{proof: []} for proof in door.proofs],
    }
    if door.body is not None:
        content = {door.body_type: {"schema": door.body}}
        operation["requestBody"] = {"required": door.body_required, "content": content}
    return operation


def _parameters(door: Endpoint) -> list[dict[str, Any]]:
    text = {"type": "string"}
    in_path: list[dict[str, Any]] = [
        {"in": "path", "name": name, "description": PATH_PARAMETERS[name], "schema": text}
        for name in re.findall(r"{(\w+)}", door.path)
    ]
    in_headers = [
        {"in": "header", "name": name, "description": description, "schema": text}
        for name, description in door.headers.items()
    ]
    return [*in_path, *in_headers]


def _in_query(parameter: dict[str, Any]) -> dict[str, Any]:
    """`parameter` without null: a query has texts only."""
    schema = dict(parameter["schema"])
    if isinstance(schema.get("type"), list):
        (schema["type"],) = (kind for kind in schema["type"] if kind != "null")
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    return {**parameter, "schema": schema}


def _answers(door: Endpoint) -> dict[str, Any]:
    headers = {
        name: {"description": description, "schema": {"type": "string"}}
        for name, description in door.farewell.items()
    }
    return {
        str(status): {
            "description": "as asked" if status < 300 else "not now",
            **({"headers": headers} if headers else {}),
            **({} if shape is None else _content(shape, door.answer_type)),
        }
        for status, shape in door.answers.items()
    }


def _refusals(door: Endpoint) -> dict[str, Any]:
    """By status: the error's shape, and which codes it comes with here."""
    by_status: dict[int, list[ErrorCode]] = {}
    for code in map(ErrorCode, door.refusals):
        by_status.setdefault(code.status, []).append(code)
    retry = {"Retry-After": {"description": "in s", "schema": {"type": "string"}}}
    return {
        str(int(status)): {
            "description": "; ".join(f"`{code}`: {code.description}" for code in codes),
            **({"headers": retry} if RETRY_AFTER_CODES & set(codes) else {}),
            **_content(
                {
                    "allOf": [
                        {"$ref": "#/components/schemas/Error"},
                        {"properties": {"error": {"enum": codes}}},
                    ]
                }
            ),
        }
        for status, codes in by_status.items()
    }


def _content(shape: Shape, kind: str = "application/json") -> dict[str, Any]:
    return {"content": {kind: {"schema": shape}}}
