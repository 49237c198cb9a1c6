"""Access tokens for those who join a room by WebRTC."""

from collections.abc import Mapping
from datetime import timedelta

from livekit import api


def caller_token(
    key: str, secret: str, *, room: str, identity: str, attributes: Mapping[str, str]
) -> str:
    """A token to join `room` as a SIP caller would be in it: same kind, same attributes."""
    token = (
        api.AccessToken(key, secret)
        .with_identity(identity)
        .with_kind("sip")
        .with_attributes(dict(attributes))
        .with_grants(api.VideoGrants(room_join=True, room=room))
        .with_ttl(timedelta(minutes=10))
    )
    return token.to_jwt()
