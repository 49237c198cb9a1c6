"""The body of `POST /dispatch`."""

from dataclasses import dataclass
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate, validates

from gateway.callbacks.events import CallbackEvent
from gateway.calls.destinations import Destination, parse_destination
from gateway.livekit.metadata import GATEWAY_KEY
from gateway.outbound.service import OutboundCallRequest

#: The fields that the agent gets in its job metadata, beside the request's own `metadata`.
AGENT_FIELDS = (
    "destination",
    "account_code",
    "transfer_target",
    "caller_id",
    "caller_number",
    "caller_name",
)

# A text that goes into a SIP header must not be able to end that header.
_HEADER_TEXT = validate.Regexp(
    r"[^\x00-\x1f\x7f\"<>]{1,128}\Z", error="Must be 1 to 128 characters without quotes or <>."
)


class Number(fields.Field[Destination]):
    """A telephone number or SIP URI to call."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Destination:
        try:
            return parse_destination(str(value) if isinstance(value, str) else "")
        except ValueError as error:
            raise ValidationError(f"Not a destination: it {error}.") from error


def _about(description: str) -> dict[str, str]:
    return {"description": description}


@dataclass(frozen=True, slots=True)
class DispatchRequest:
    call: OutboundCallRequest
    idempotency_key: str


class DispatchSchema(Schema):
    class Meta:
        unknown = RAISE

    destination = Number(required=True)
    account_code = fields.String(
        required=True, validate=_HEADER_TEXT, metadata=_about("sent as header X-Account-Code")
    )
    transfer_target = Number(metadata=_about("where the agent transfers the call by default"))
    caller_id = fields.String(
        validate=_HEADER_TEXT, metadata=_about("the callee's participant identity in the room")
    )
    caller_number = fields.String(
        validate=_HEADER_TEXT, metadata=_about("user part of the SIP From; default: caller_id")
    )
    caller_name = fields.String(
        validate=_HEADER_TEXT, metadata=_about("display name of the SIP From")
    )
    metadata = fields.Dict(
        keys=fields.String(), load_default=dict, metadata=_about("more fields for the agent")
    )
    agent_name = fields.String(
        validate=validate.Length(1, 128),
        load_default="",
        metadata=_about("LiveKit agent; default: agent.name"),
    )
    session_options = fields.Dict(
        keys=fields.String(), load_default=dict, metadata=_about("for the agent's session")
    )
    max_call_duration = fields.Integer(
        validate=validate.Range(10, 86_400),
        load_default=None,
        metadata=_about("s; default: outbound.max_call_duration"),
    )
    ringing_timeout = fields.Integer(
        validate=validate.Range(1, 120),
        load_default=None,
        metadata=_about("s; default: outbound.ringing_timeout"),
    )
    record_call = fields.Boolean(
        load_default=False, metadata=_about("whether the agent is to record the call")
    )
    wait = fields.String(
        validate=validate.OneOf(["none", "early", "answer"]),
        load_default="early",
        metadata=_about(
            "how long the response waits for a failed dial: not at all, for "
            "outbound.early_failure_window, or until the callee answers"
        ),
    )
    callback_url = fields.String(
        load_default="", metadata=_about("receives the call's callbacks, besides callbacks.urls")
    )
    callback_events = fields.List(
        fields.String(validate=validate.OneOf(list(CallbackEvent))),
        load_default=list,
        metadata=_about("which callbacks callback_url receives; default: all"),
    )
    idempotency_key = fields.String(
        validate=validate.Length(1, 255),
        load_default="",
        metadata=_about("requests with the same key are the same call"),
    )

    @validates("metadata")
    def check_reserved_keys(self, value: dict[str, Any], data_key: str) -> None:
        reserved = sorted(value.keys() & {*AGENT_FIELDS, GATEWAY_KEY})
        if reserved:
            raise ValidationError(f"These keys are reserved, use others: {', '.join(reserved)}.")

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
