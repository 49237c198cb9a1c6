"""The endpoints as the OpenAPI document has them: what each takes, answers and refuses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from marshmallow import Schema

from gateway.api.schemas import hooks as schemas
from gateway.api.schemas import responses as answers
from gateway.api.schemas.dispatch import DispatchSchema
from gateway.api.schemas.listing import ListQuerySchema

#: A schema, or JSON Schema where the endpoint reads without one.
Shape: TypeAlias = type[Schema] | Schema | Mapping[str, Any]

#: The proofs, by their names in the document. None of a endpoint's is for everybody.
JAMBONZ = ("jambonzSignature", "jambonzBasicAuth")
API_KEY = ("bearer", "apiKey")
LIVEKIT = ("livekitToken",)

_BODY = ("unreadable", "too_slow", "too_large")
_JSON = (*_BODY, "not_json", "unsupported_media_type", "invalid")
PATH_PARAMETERS = {
    "call_id": "the call's id, which is also its LiveKit room's name",
    "delivery_id": "the delivery's id, from the call's `deliveries`",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`answers` by status, None for no body; `refusals` are values of ErrorCode.

    `headers` may come with a request, `farewell` come with its answer: name → description.
    """

    method: str
    path: str
    client: str
    summary: str
    proofs: tuple[str, ...] = ()
    body: Shape | None = None
    body_type: str = "application/json"
    body_required: bool = True
    query: type[Schema] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    farewell: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[int, Shape | None] = field(default_factory=dict)
    answer_type: str = "application/json"
    refusals: tuple[str, ...] = ()


_VERBS = answers.VerbSchema(many=True)


def _hook(
    path: str, summary: str, body: type[Schema], *, refusals: tuple[str, ...] = (), **more: Any
) -> Endpoint:
    """Jambonz posts, and is answered with verbs."""
    all_of = ("bad_signature", "bad_basic_auth", "address_not_allowed", *_JSON, *refusals)
    more.setdefault("answers", {200: _VERBS})
    return Endpoint("post", path, "jambonz", summary, JAMBONZ, body, refusals=all_of, **more)


def _asked(
    method: str, path: str, summary: str, answer: Shape, *refusals: str, **more: Any
) -> Endpoint:
    """n8n and ops ask with an API key."""
    more["answers"] = {200: answer}
    all_of = ("unauthorized", "address_not_allowed", *refusals)
    return Endpoint(method, path, "ops", summary, API_KEY, refusals=all_of, **more)


#: LiveKit's WebhookEvent as protobuf's JSON; what else is in it is not ours.
_WEBHOOK = {
    "type": "object",
    "required": ["event"],
    "properties": {
        "event": {"type": "string", "minLength": 1, "examples": ["participant_joined"]},
        "id": {"type": "string"},
        "createdAt": {"type": "string", "description": "s since epoch", "pattern": "^[0-9]{1,18}$"},
        "room": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "sid": {"type": "string"}},
        },
        "participant": {
            "type": "object",
            "properties": {
                "identity": {"type": "string"},
                "kind": {"enum": ["STANDARD", "INGRESS", "EGRESS", "SIP", "AGENT"]},
                "disconnectReason": {
                    "type": "string",
                    "enum": ["CLIENT_INITIATED", "JOIN_FAILURE"],
                },
                "attributes": {"type": "object", "additionalProperties": {"type": "string"}},
            },
        },
    },
}

ENDPOINTS: tuple[Endpoint, ...] = (
    _hook(
        "/livekit-api",
        "A call arrives: Jambonz' call hook",
        schemas.CallHookSchema,
        refusals=("overloaded",),
    ),
    Endpoint(
        "options",
        "/livekit-api",
        "jambonz",
        "What the Jambonz portal offers to set for an application",
        answers={200: answers.ApplicationSettingsSchema},
    ),
    _hook(
        "/livekit-api/dial-action",
        "A dial has ended: `[]`, or verbs for the fallback",
        schemas.DialHookSchema,
        query=schemas.FallbackQuerySchema,
    ),
    _hook(
        "/livekit-api/call-status",
        "A leg's status has changed",
        schemas.StatusHookSchema,
        answers={204: None},
    ),
    _hook(
        "/livekit-api/refer",
        "A leg sent a REFER: a `dial`, or the status to refuse it with",
        schemas.ReferHookSchema,
        refusals=(
            *("bad_refer_to", "transfer_not_allowed", "not_found", "transfer_pending"),
            "storage_unavailable",
        ),
    ),
    _hook(
        "/livekit-api/transfer-action",
        "The dial to a transfer's target has ended",
        schemas.DialHookSchema,
        query=schemas.CallIdQuerySchema,
    ),
    _hook(
        "/livekit-api/queue-wait",
        "What a parked caller hears, or `leave`",
        schemas.WaitHookSchema,
        query=schemas.CallIdQuerySchema,
    ),
    _hook(
        "/livekit-api/queue-action",
        "A parked caller has left the queue",
        schemas.QueueHookSchema,
        query=schemas.CallIdQuerySchema,
    ),
    _hook(
        "/livekit-simple",
        "The old route: a `dial` to the static trunk",
        schemas.CallHookSchema,
        farewell={
            "Deprecation": "since when applications are asked to move (RFC 9745)",
            "Sunset": "when the route goes (RFC 8594)",
            "Link": "where to move",
        },
        refusals=("overloaded",),
    ),
    _asked(
        "post",
        "/dispatch",
        "Have a number called, and an agent talk to whoever answers",
        answers.DispatchedSchema,
        *_JSON,
        *("forbidden", "idempotency_key_reused", "too_many_calls", "too_many_requests"),
        *("livekit_refused", "no_agent", "no_trunk", "livekit_unreachable"),
        *("not_answered", "overloaded", "storage_unavailable"),
        body=DispatchSchema,
        headers={"Idempotency-Key": "the same key is the same call, at most 255 characters"},
    ),
    _asked(
        "get",
        "/livekit-api/calls",
        "The calls there are, newest first",
        answers.CallsSchema,
        *("invalid", "overloaded", "storage_unavailable"),
        query=ListQuerySchema,
    ),
    _asked(
        "get",
        "/livekit-api/calls/{call_id}",
        "A call with its timeline, report and deliveries",
        answers.CallSchema,
        *("not_found", "storage_unavailable"),
    ),
    _asked(
        "get",
        "/livekit-api/events",
        "What happens to calls, as it happens: server-sent events",
        {"type": "string", "description": "events `call` with {event, call}, or `missed`"},
        *("overloaded", "storage_unavailable"),
        headers={"Last-Event-ID": "the id of the last event that was heard, to miss none"},
        answer_type="text/event-stream",
    ),
    _asked(
        "post",
        "/livekit-api/calls/{call_id}/hangup",
        "End a call",
        answers.CallSchema,
        *("forbidden", "not_found", "storage_unavailable"),
    ),
    _asked(
        "post",
        "/livekit-api/calls/{call_id}/transfer",
        "Hand a call on",
        answers.CallSchema,
        *_JSON,
        *("forbidden", "transfer_not_allowed", "not_found", "not_ongoing", "transfer_pending"),
        *("livekit_refused", "livekit_unreachable", "storage_unavailable"),
        body=schemas.TransferSchema,
        body_required=False,
    ),
    _asked(
        "post",
        "/livekit-api/calls/{call_id}/deliveries/{delivery_id}/retry",
        "Try a callback once more",
        answers.DeliverySchema,
        *("forbidden", "not_found", "storage_unavailable"),
    ),
    _asked(
        "get",
        "/livekit-api/diagnostics",
        "What this process has seen since it started",
        answers.DiagnosticsSchema,
    ),
    _asked("get", "/openapi.json", "This document", {"type": "object"}),
    Endpoint(
        "post",
        "/livekit-api/calls/{call_id}/report",
        "agent",
        "What the agent worker has to tell of a call",
        LIVEKIT,
        schemas.AgentReportSchema,
        answers={204: None},
        refusals=("bad_token", "address_not_allowed", *_JSON, "storage_unavailable"),
    ),
    Endpoint(
        "post",
        "/livekit/webhook",
        "livekit",
        "LiveKit's webhook event",
        LIVEKIT,
        _WEBHOOK,
        body_type="application/webhook+json",
        answers={204: None},
        refusals=("bad_token", "address_not_allowed", *_BODY, "not_an_event"),
    ),
    Endpoint(
        "get",
        "/healthz",
        "ops",
        "Whether the process lives",
        answers={200: answers.AliveSchema},
    ),
    Endpoint(
        "get",
        "/readyz",
        "ops",
        "Whether this gateway wants calls, and if not why",
        answers={200: answers.ReadySchema, 503: answers.ReadySchema},
    ),
)
