"""The endpoints as an OpenAPI 3.1 document, made from their declarations and schemas."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema, fields

from gateway import __version__
from gateway.api.client_address import ClientGroup
from gateway.api.endpoints import Endpoint, Shape
from gateway.api.examples import ENDPOINT_EXAMPLES, Example, callback_example
from gateway.api.schemas.calls import AnalyzedCallbackSchema, CallbackSchema
from gateway.api.schemas.fields import SipHeaders, SipStatus, Text, TextMap
from gateway.api.schemas.listing import Cursor, Moment
from gateway.api.schemas.requests import Number
from gateway.api.schemas.responses import ErrorSchema
from gateway.callbacks.events import CallbackEvent
from gateway.errors import RETRY_AFTER_CODES, ErrorCode

_SECURITY_SCHEMES: Mapping[str, Mapping[str, str]] = {
    "jambonzSignature": {
        "x-name": "Jambonz-Signature",
        "type": "apiKey",
        "in": "header",
        "name": "Jambonz-Signature",
        "description": "t=<unix seconds>,v1=<hex of HMAC-SHA256(webhook secret, t + '.' + body)>",
    },
    "jambonzBasicAuth": {
        "x-name": "basic auth",
        "type": "http",
        "scheme": "basic",
        "description": "a user name and password of JAMBONZ_WEBHOOK_AUTH",
    },
    "bearer": {
        "x-name": "API key",
        "type": "http",
        "scheme": "bearer",
        "description": "an API key of GATEWAY_API_KEYS: role `read` to ask, `dispatch` to act",
    },
    "apiKey": {
        "x-name": "API key",
        "type": "apiKey",
        "in": "header",
        "name": "X-API-Key",
        "description": "the same API key",
    },
    "livekitToken": {
        "x-name": "JWT of the LiveKit key",
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "signed with the LiveKit key; claim sha256: the body's, in base64",
    },
}

#: JSON Schema of our own field classes.
_FIELDS: Mapping[type[fields.Field[Any]], Mapping[str, Any]] = {
    Text: {"type": "string"},
    TextMap: {"type": "object", "description": "values that are objects or arrays are left out"},
    SipHeaders: {
        "type": "object",
        "properties": {"headers": {"type": ["object", "null"]}},
        "description": "the INVITE",
    },
    SipStatus: {"description": "a SIP status; anything else counts as unknown"},
    Number: {
        "type": "string",
        "description": "digits, E.164, tel: or sip:user@host",
        "examples": ["61491570156"],
    },
    Moment: {"type": "string", "description": "ms since epoch, or ISO 8601"},
    Cursor: {"type": "string", "description": "the next_cursor of the page before"},
}


_DESCRIPTION = """\
Unknown fields of bodies and queries of API clients are refused; an optional one that is blank or \
null counts as left out. /docs has the same content for people."""

_CALLBACK_SCHEMAS: Mapping[CallbackEvent, type[Schema]] = {
    event: AnalyzedCallbackSchema if event is CallbackEvent.CALL_ANALYZED else CallbackSchema
    for event in CallbackEvent
}
_CALLBACK_HEADERS = {
    "webhook-id": "the event_id (Standard Webhooks)",
    "webhook-timestamp": "when it was sent, in s since epoch; with CALLBACK_SECRET",
    "webhook-signature": "v1,<base64 of HMAC-SHA256>, several of them in a rotation; likewise",
}

PATH_PARAMETERS = {
    "call_id": "the call's id, which is also its LiveKit room's name",
    "delivery_id": "the delivery's id, from the call's `deliveries`",
}

_TAGS = {ClientGroup.JAMBONZ: "jambonz", ClientGroup.API: "api", ClientGroup.LIVEKIT: "livekit"}


def document(endpoints: Sequence[Endpoint], url: str = "/") -> dict[str, Any]:
    """The OpenAPI document (https://spec.openapis.org/oas/v3.1.0.html); `url` is the gateway's."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(
        "jambonz-livekit-gateway",
        __version__,
        "3.1.0",
        [plugin],
        info={"license": {"name": "MIT", "identifier": "MIT"}, "description": _DESCRIPTION},
        servers=[{"url": url, "description": "the gateway"}],
    )
    converter = plugin.converter
    assert converter  # noqa: S101 - APISpec() has just set it
    converter.add_attribute_function(_as_json)  # type: ignore[no-untyped-call]  # apispec's own
    for name, scheme in _SECURITY_SCHEMES.items():
        spec.components.security_scheme(name, dict(scheme))
    spec.components.schema("Error", schema=ErrorSchema)
    for endpoint in endpoints:
        query: list[dict[str, Any]] = []
        if endpoint.query:
            query = converter.schema2parameters(endpoint.query, location="query")
        spec.path(endpoint.path, operations={endpoint.method.lower(): _operation(endpoint, query)})
    resolve: Callable[[type[Schema]], Mapping[str, Any]] = converter.resolve_nested_schema
    webhooks = {
        event: {"post": _callback(event, resolve(schema))}
        for event, schema in _CALLBACK_SCHEMAS.items()
    }
    return {**spec.to_dict(), "webhooks": webhooks}


def _callback(event: CallbackEvent, schema: Mapping[str, Any]) -> dict[str, Any]:
    """The Operation Object of a request that the gateway sends."""
    only_this = {"properties": {"event": {"enum": [event]}}}
    content = _content({"allOf": [schema, only_this]}, example=callback_example(event))
    return {
        "operationId": f"callback_{event}",
        "tags": ["callbacks"],
        "summary": f"Callback `{event}`, to `callback_url` and to `callbacks.urls`",
        "parameters": [
            {"in": "header", "name": name, "description": text, "schema": {"type": "string"}}
            for name, text in _CALLBACK_HEADERS.items()
        ],
        "requestBody": {"required": True, **content},
        "responses": {
            "2XX": {"description": "received"},
            "default": {"description": "the callback is sent again later; docs/n8n.md"},
        },
        "security": [],
    }


def _name(schema: Schema | type[Schema]) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.strip("_").removesuffix("Schema")


def _as_json(converter: object, field: fields.Field[Any], ret: dict[str, Any]) -> dict[str, Any]:
    """What apispec does not know of `field`; `ret` is its JSON Schema so far."""
    if "default" in ret and (ret["default"] is None or ret["default"] == ""):
        del ret["default"]  # these stand for "not given"
    shape = dict(_FIELDS.get(type(field), {}))
    if isinstance(field, fields.Enum):
        shape["type"] = "string"
    if field.allow_none and "type" in shape:
        shape["type"] = [shape["type"], "null"]
    if "pattern" in ret:  # marshmallow matches from the start, ECMA-262 has no \Z
        shape["pattern"] = "^" + ret["pattern"].replace(r"\Z", "$")
    return shape


def _operation(endpoint: Endpoint, query: list[dict[str, Any]]) -> dict[str, Any]:
    """The Operation Object; `query` are its parameters as apispec has them."""
    name = re.sub(r"\W+", "_", endpoint.path).strip("_")
    authentication = endpoint.authentication
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.method.lower()}_{name}",
        "tags": [_TAGS[authentication.group] if authentication else "open"],
        "summary": endpoint.summary,
        "parameters": [*_parameters(endpoint), *(_in_query(each) for each in query)],
        "responses": {**_answers(endpoint), **_errors(endpoint.errors)},
        "security": [{scheme: []} for scheme in authentication.schemes] if authentication else [],
    }
    if authentication and authentication.role:
        operation["x-role"] = authentication.role
    example = _example(endpoint).body
    if endpoint.body:
        content = _content(endpoint.body, example=example)
        operation["requestBody"] = {"required": endpoint.body_required, **content}
    if endpoint.raw_body:
        content = _content(endpoint.raw_body, "application/webhook+json", example)
        operation["requestBody"] = {"required": True, **content}
    return operation


def _parameters(endpoint: Endpoint) -> list[dict[str, Any]]:
    text = {"type": "string"}
    in_path: list[dict[str, Any]] = [
        {"in": "path", "name": name, "description": PATH_PARAMETERS[name], "schema": text}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    in_headers = [
        {"in": "header", "name": name, "description": description, "schema": text}
        for name, description in endpoint.headers.items()
    ]
    return [*in_path, *in_headers]


def _in_query(parameter: dict[str, Any]) -> dict[str, Any]:
    """`parameter` without null: a query string holds text only."""
    schema = dict(parameter["schema"])
    if isinstance(schema.get("type"), list):
        (schema["type"],) = (kind for kind in schema["type"] if kind != "null")
    if "enum" in schema:
        schema["enum"] = [value for value in schema["enum"] if value is not None]
    return {**parameter, "schema": schema}


def _answers(endpoint: Endpoint) -> dict[str, Any]:
    headers = {
        name: {"description": description, "schema": {"type": "string"}}
        for name, description in endpoint.response_headers.items()
    }
    example = _example(endpoint).answer
    return {
        str(status): {
            "description": "success" if status < 300 else "not ready",
            **({"headers": headers} if headers else {}),
            **({} if shape is None else _content(shape, endpoint.answer_type, example)),
        }
        for status, shape in endpoint.answers.items()
    }


def _errors(codes: Iterable[ErrorCode]) -> dict[str, Any]:
    """By HTTP status: the error's shape, and which codes it comes with."""
    by_status: dict[int, list[ErrorCode]] = {}
    for code in codes:
        by_status.setdefault(code.status, []).append(code)
    retry = {"Retry-After": {"description": "in s", "schema": {"type": "string"}}}
    return {
        str(status): {
            "description": "; ".join(f"`{code}`: {code.description}" for code in same_status),
            **({"headers": retry} if RETRY_AFTER_CODES & set(same_status) else {}),
            **_content(
                {
                    "allOf": [
                        {"$ref": "#/components/schemas/Error"},
                        {"properties": {"error": {"enum": [str(code) for code in same_status]}}},
                    ]
                },
                example={"error": same_status[0], "message": same_status[0].description},
            ),
        }
        for status, same_status in by_status.items()
    }


def _example(endpoint: Endpoint) -> Example:
    return ENDPOINT_EXAMPLES.get(f"{endpoint.method} {endpoint.path}", Example())


def _content(shape: Shape, kind: str = "application/json", example: Any = None) -> dict[str, Any]:
    media_type = {"schema": shape} if example is None else {"schema": shape, "example": example}
    return {"content": {kind: media_type}}
