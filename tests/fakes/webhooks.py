"""Requests that LiveKit and the agent send to a gateway: their authentication, and webhooks."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToJson
from livekit import api
from livekit.protocol.models import ParticipantInfo, Room, TrackInfo
from livekit.protocol.webhook import WebhookEvent

from tests.fakes.livekit import KEY, SECRET


def authorization(body: bytes, *, secret: str = SECRET) -> str:
    """The header `Authorization` for `body`: a JWT over its SHA-256, as LiveKit signs webhooks."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(KEY, secret).with_sha256(digest).to_jwt()


def webhook(
    event_id: str,
    name: str,
    room: str,
    participant: ParticipantInfo | None = None,
    track: TrackInfo | None = None,
) -> bytes:
    """The body of a webhook about `room`, and about `participant` and `track` if there are any."""
    event = WebhookEvent(
        event=name, id=event_id, room=Room(name=room), participant=participant, track=track
    )
    return MessageToJson(event).encode()


def signed(claims: Mapping[str, Any], *, secret: str = SECRET) -> str:
    """A JWT with any `claims`; PyJWT would refuse to sign some."""
    header, payload = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    signature = hmac.digest(secret.encode(), header + b"." + payload, "sha256")
    parts = (header, payload, base64.urlsafe_b64encode(signature).rstrip(b"="))
    return b".".join(parts).decode()
