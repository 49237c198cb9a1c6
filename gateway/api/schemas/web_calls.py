"""The body and the answer of `POST /livekit-api/web-calls`."""

from typing import Any

from marshmallow import RAISE, Schema, fields, post_load, validate

from gateway.api.schemas.fields import about
from gateway.api.schemas.requests import (
    Caller,
    RequestSchema,
    RequestText,
    check,
    header_text,
)
from gateway.inbound.web_calls import WebCallRequest

#: The caller's number where none is given, as of a caller who withholds theirs.
ANONYMOUS = "anonymous"


class WebCallSchema(RequestSchema):
    to_number = RequestText(
        required=True,
        validate=check(header_text),
        metadata=about("the number called; 1 to 128 characters"),
    )
    from_number = Caller(load_default=ANONYMOUS, metadata=about("the caller's number"))
    account_code = RequestText(
        validate=check(header_text),
        load_default="",
        metadata=about("as the Jambonz application's ACCOUNT_CODE; at most 128 characters"),
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
            "what the agent's profile changes for this call, its `profile` too; checked with "
            "agent.pipeline: voice"
        ),
    )

    @post_load
    def make(self, data: Any, **kwargs: Any) -> WebCallRequest:
        return WebCallRequest(**data)


class WebCallTokenSchema(Schema):
    """Named as by LiveKit's token endpoints (docs.livekit.io/home/get-started/authentication)."""

    class Meta:
        unknown = RAISE

    call_id = fields.String(required=True)
    server_url = fields.String(required=True)
    participant_token = fields.String(required=True)
