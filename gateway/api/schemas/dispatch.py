"""The body of `POST /dispatch`."""

from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates, validates_schema

from gateway.api.schemas.fields import about
from gateway.api.schemas.requests import (
    Caller,
    Number,
    RequestSchema,
    RequestText,
    check,
    display_name,
    header_text,
)
from gateway.callbacks.events import CallbackEvent
from gateway.calls.callers import parse_caller
from gateway.config.settings import MAX_DIAL_RINGING
from gateway.livekit.metadata import GATEWAY_KEY
from gateway.outbound.request import OutboundCallRequest
from gateway.storage.idempotency import MAX_KEY_LENGTH

#: The fields that the agent gets in its job metadata, beside the request's own `metadata`.
AGENT_FIELDS = (
    "destination",
    "account_code",
    "transfer_target",
    "caller_id",
    "caller_number",
    "caller_name",
)


def _identity(text: str) -> None:
    """Raise ValueError for what cannot be a participant's identity: LiveKit takes 256 bytes."""
    header_text(text)
    if len(text.encode()) > 256:
        raise ValueError("Must be at most 256 bytes (UTF-8).")


@dataclass(frozen=True, slots=True)
class DispatchRequest:
    call: OutboundCallRequest
    idempotency_key: str


class DispatchSchema(RequestSchema):
    destination = Number(required=True)
    account_code = RequestText(
        required=True,
        validate=check(header_text),
        metadata=about("sent as header X-Account-Code; 1 to 128 characters"),
    )
    transfer_target = Number(metadata=about("where the agent transfers the call by default"))
    caller_id = RequestText(
        validate=check(_identity),
        metadata=about("the callee's participant identity in the room; at most 128 characters"),
    )
    caller_number = Caller(
        metadata=about(
            "user part of the SIP From, a number or an id; default: caller_id, else "
            "outbound.default_caller, else a number of the trunk"
        )
    )
    caller_name = RequestText(
        validate=check(display_name),
        metadata=about('display name of the SIP From; at most 128 bytes, without " < > \\'),
    )
    metadata = fields.Dict(
        keys=fields.String(), load_default=dict, metadata=about("more fields for the agent")
    )
    agent_name = RequestText(
        validate=validate.Length(1, 128),
        load_default="",
        metadata=about("LiveKit agent; default: agent.name"),
    )
    session_options = fields.Dict(
        keys=fields.String(),
        load_default=dict,
        metadata=about(
            "what the agent's profile changes for this call; checked with agent.pipeline: voice"
        ),
    )
    max_call_duration = fields.Integer(
        validate=validate.Range(10, 86_400),
        load_default=None,
        metadata=about("s; default: outbound.max_call_duration"),
    )
    ringing_timeout = fields.Integer(
        validate=validate.Range(1, MAX_DIAL_RINGING),
        load_default=None,
        metadata=about("s; default: outbound.ringing_timeout"),
    )
    record_call = fields.Boolean(
        load_default=False, metadata=about("whether the agent is to record the call")
    )
    wait = fields.String(
        validate=validate.OneOf(["none", "early", "answer"]),
        load_default="early",
        metadata=about(
            "how long the response waits for a failed dial: not at all, for "
            "outbound.early_failure_window, or until the callee answers"
        ),
    )
    callback_url = fields.String(
        load_default="", metadata=about("receives the call's callbacks, besides callbacks.urls")
    )
    callback_events = fields.List(
        fields.String(validate=validate.OneOf(list(CallbackEvent))),
        load_default=list,
        metadata=about("which callbacks callback_url receives; default: all"),
    )
    idempotency_key = RequestText(
        validate=validate.Length(1, MAX_KEY_LENGTH),
        load_default="",
        metadata=about("requests with the same key are the same call"),
    )

    @validates("metadata")
    def check_reserved_keys(self, value: dict[str, Any], data_key: str) -> None:
        reserved = sorted(value.keys() & {*AGENT_FIELDS, GATEWAY_KEY})
        if reserved:
            raise ValidationError(f"These keys are reserved, use others: {', '.join(reserved)}.")

    @validates_schema(skip_on_field_errors=True)
    def check_from_user(self, data: dict[str, Any], **kwargs: Any) -> None:
        """Without a caller_number the caller_id becomes the user part of the SIP From."""
        if "caller_id" in data and "caller_number" not in data:
            try:
                parse_caller(data["caller_id"])
            except ValueError as error:
                text = f"Without a caller_number it names the caller: {error}"
                raise ValidationError({"caller_id": [text]}) from error

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> DispatchRequest:
        texts = {key: getattr(data.get(key), "text", data.get(key)) for key in AGENT_FIELDS}
        for_agent = {key: text for key, text in texts.items() if text}
        metadata = {**for_agent, **data.pop("metadata")}
        data.pop("transfer_target", None)
        key = data.pop("idempotency_key")
        events = tuple(data.pop("callback_events"))
        return DispatchRequest(
            OutboundCallRequest(metadata=metadata, callback_events=events, **data), key
        )
