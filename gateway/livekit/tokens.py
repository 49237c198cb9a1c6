"""Access tokens: for requests about rooms, and for joining a room by WebRTC."""

from collections.abc import Mapping
from datetime import timedelta

from livekit import api


def caller_token(
    key: str, secret: str, *, room: str, identity: str, attributes: Mapping[str, str]
) -> str:
    """A token to join `room` by WebRTC as if by SIP: with a SIP participant's kind and attributes.

    The participant may change its attributes, as livekit-sip does with a call's status. It is valid
    for 10 minutes.
    """
    grants = api.VideoGrants(room_join=True, room=room, can_update_own_metadata=True)
    token = (
        api.AccessToken(key, secret)
        .with_identity(identity)
        .with_kind("sip")
        .with_attributes(dict(attributes))
        .with_grants(grants)
        .with_ttl(timedelta(minutes=10))
    )
    return token.to_jwt()


def rooms_token(key: str, secret: str) -> str:
    """A token to create, list and delete any room. It is valid for an hour."""
    grants = api.VideoGrants(room_create=True, room_list=True)
    token = api.AccessToken(key, secret).with_grants(grants).with_ttl(timedelta(hours=1))
    return token.to_jwt()
