"""What LiveKit and the agent post to a gateway: the proof that goes with a body, and webhooks."""

import base64
import hashlib

from google.protobuf.json_format import MessageToJson
from livekit import api
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.webhook import WebhookEvent

from tests.fakes.livekit import KEY, SECRET


def proof(body: bytes, *, secret: str = SECRET) -> str:
    """The `Authorization` of `body`: a JWT over its SHA-256, as LiveKit signs its webhooks."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(KEY, secret).with_sha256(digest).to_jwt()


def webhook(event_id: str, name: str, room: str, who: ParticipantInfo | None = None) -> bytes:
    """The body of a webhook about `room`, and about `who` in it."""
    event = WebhookEvent(event=name, id=event_id, room=Room(name=room))
    if who:
        event.participant.CopyFrom(who)
    return MessageToJson(event).encode()
