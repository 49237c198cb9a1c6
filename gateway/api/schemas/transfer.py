"""The body of `POST /livekit-api/calls/{call_id}/transfer`, and of the agent's request for one."""

from typing import Any

from marshmallow import fields, post_load, validate

from gateway.api.schemas.fields import about
from gateway.api.schemas.requests import RequestSchema, RequestText
from gateway.calls.outcomes import TransferKind

#: Characters of a summary at most: a minute of speech.
SUMMARY_LIMIT = 1_000


class TransferSchema(RequestSchema):
    target = RequestText(
        load_default="",
        validate=validate.Length(max=300),
        metadata=about("digits, E.164, tel: or sip:user@host"),
    )
    kind = fields.String(
        load_default=TransferKind.COLD,
        validate=validate.OneOf(list(TransferKind)),
        metadata=about(
            "`announced`: the target hears `summary` first, and may decline; "
            "`warm`: the target joins the caller and the agent"
        ),
    )
    summary = RequestText(
        load_default="",
        validate=validate.Length(max=SUMMARY_LIMIT),
        metadata=about("for the target of an announced transfer; plain text"),
    )

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {**data, "kind": TransferKind(data["kind"])}
