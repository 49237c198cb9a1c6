"""`/docs`: the API for people, from the OpenAPI document; its script filters and copies."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiohttp import web

from gateway.api.auth import VIEW
from gateway.api.endpoints import Request
from gateway.api.openapi import document
from gateway.api.reference import Field, Operation, Reference
from gateway.api.routes import ENDPOINTS
from gateway.calls.reasons import DisconnectionReason
from gateway.errors import ErrorCode
from gateway.web.curl import curl
from gateway.web.page import Page, render

#: The groups in the order of the page: title, and a sentence.
GROUPS: Mapping[str, tuple[str, str]] = {
    "api": ("Calls", "For n8n, ops and the page, with an API key."),
    "callbacks": (
        "Callbacks",
        "What the gateway posts to `callback_url` and `callbacks.urls`; repeated until it is "
        "accepted.",
    ),
    "jambonz": ("Jambonz", "Hooks of the Jambonz application."),
    "livekit": ("LiveKit and agents", "LiveKit's webhooks, and what an agent's worker reports."),
    "open": ("Without authentication", "For load balancers and the Jambonz portal."),
}


@dataclass(frozen=True, slots=True)
class Group:
    id: str
    title: str
    text: str
    operations: Sequence[Operation]


@dataclass(frozen=True, slots=True)
class Content:
    """All that the template shows. `curls` by an operation's id."""

    groups: Sequence[Group]
    curls: Mapping[str, str]
    shapes: Sequence[tuple[str, Sequence[Field]]]
    reference: Reference


@Page(
    "GET",
    "/docs",
    "The API for people",
    authentication=VIEW,
    answers={200: {"type": "string"}},
    answer_type="text/html",
)
async def docs(request: Request) -> web.Response:
    return render(
        request,
        "docs.html",
        content=content(request.services.config.own_url),
        error_codes=list(ErrorCode),
        reasons=list(DisconnectionReason),
        as_json=as_json,
    )


@cache
def content(url: str) -> Content:
    """`url` is the gateway's, for commands to copy."""
    reference = Reference(json.loads(json.dumps(document(ENDPOINTS, url))))
    operations = [*reference.endpoints(), *reference.callbacks()]
    groups = [
        Group(name, title, text, [it for it in operations if it.group == name])
        for name, (title, text) in GROUPS.items()
    ]
    shapes = {name: fields for name, fields in reference.shapes() if fields}
    used = set(_used(operations, shapes))
    return Content(
        groups,
        {it.id: curl(it, url) for it in operations},
        [(name, fields) for name, fields in sorted(shapes.items()) if name in used],
        reference,
    )


def _used(operations: Sequence[Operation], shapes: Mapping[str, Sequence[Field]]) -> Iterator[str]:
    """The named objects that the page refers to: of responses, and of fields."""
    for operation in operations:
        messages = [operation.body, *operation.responses.values()]
        yield from (message.shape for message in messages if message)
        yield from (field.shape for field in operation.parameters)
    for fields in shapes.values():
        yield from (field.shape for field in fields)


def as_json(example: Any) -> str:
    return json.dumps(example, indent=2, ensure_ascii=False)
