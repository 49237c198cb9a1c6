"""The body of `POST /livekit-api/calls/{call_id}/transfer`."""

from marshmallow import RAISE, Schema, fields, validate


class TransferSchema(Schema):
    class Meta:
        unknown = RAISE

    target = fields.String(
        load_default="",
        validate=validate.Length(max=300),
        metadata={"description": "digits, E.164, tel: or sip:user@host"},
    )
