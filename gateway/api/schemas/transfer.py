"""The body of `POST /livekit-api/calls/{call_id}/transfer`."""

from marshmallow import validate

from gateway.api.schemas.requests import RequestSchema, RequestText


class TransferSchema(RequestSchema):
    target = RequestText(
        load_default="",
        validate=validate.Length(max=300),
        metadata={"description": "digits, E.164, tel: or sip:user@host"},
    )
