"""Requests that LiveKit and the agent send to a gateway: their authentication, and webhooks."""

import base64
import hashlib

from google.protobuf.json_format import MessageToJson
from livekit import api
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.webhook import WebhookEvent

from tests.fakes.livekit import KEY, SECRET


def authorization(body: bytes, *, secret: str = SECRET) -> str:
    """The header `Authorization` for `body`: a JWT over its SHA-256, as LiveKit signs webhooks."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(KEY, secret).with_sha256(digest).to_jwt()


def webhook(
    event_id: str, name: str, room: str, participant: ParticipantInfo | None = None
) -> bytes:
    """The body of a webhook about `room`, and about `participant` if there is one."""
    event = WebhookEvent(event=name, id=event_id, room=Room(name=room))
    if participant:
        event.participant.CopyFrom(participant)
    return MessageToJson(event).encode()
