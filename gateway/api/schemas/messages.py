"""Messages on Jambonz's WebSockets, from JSON to dataclasses. Unknown fields are ignored."""

from typing import Any
from urllib.parse import urlsplit

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, validate

from gateway.jambonz.websocket import Message


def _check_url(text: str) -> None:
    try:
        urlsplit(text)
    except ValueError as error:
        raise ValidationError("Must be a path or a URL.") from error


class MessageSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    type = fields.String(required=True, validate=validate.Length(1, 64))
    msgid = fields.String(load_default="", validate=validate.Length(max=128))
    hook = fields.String(load_default="", allow_none=True, validate=_check_url)
    data = fields.Dict(load_default=dict, allow_none=True)
    b3 = fields.String(load_default="", allow_none=True, validate=validate.Length(max=128))

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> Message:
        hook, content, b3 = data["hook"] or "", data["data"] or {}, data["b3"] or ""
        return Message(data["type"], data["msgid"], hook, content, b3)
