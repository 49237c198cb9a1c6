"""Access tokens: for requests about rooms, and for joining a room by WebRTC."""

from collections.abc import Mapping
from datetime import timedelta

from livekit import api

#: How long a caller by WebRTC has to join their room; LiveKit gives new tokens to who is in it.
JOIN_LIMIT = timedelta(minutes=2)


def sip_attributes(
    room: str, number: str, *, rule_id: str = "", status: str = "active"
) -> Mapping[str, str]:
    """The attributes of livekit-sip's participant for `number` in `room`.

    A caller comes by the dispatch rule `rule_id`, a callee by none.
    """
    return {
        "sip.phoneNumber": number,
        "sip.trunkPhoneNumber": room,
        "sip.callStatus": status,
        **({"sip.ruleID": rule_id} if rule_id else {}),
    }


def caller_token(
    key: str, secret: str, *, room: str, identity: str, attributes: Mapping[str, str]
) -> str:
    """A token to join `room` by WebRTC as if by SIP: with a SIP participant's kind and attributes.

    The participant may publish a microphone only, and change its attributes, as livekit-sip does
    with a call's status. It is valid for JOIN_LIMIT.
    """
    grants = api.VideoGrants(
        room_join=True,
        room=room,
        can_publish_sources=["microphone"],
        can_update_own_metadata=True,
    )
    token = (
        api.AccessToken(key, secret)
        .with_identity(identity)
        .with_kind("sip")
        .with_attributes(dict(attributes))
        .with_grants(grants)
        .with_ttl(JOIN_LIMIT)
    )
    return token.to_jwt()


def rooms_token(key: str, secret: str) -> str:
    """A token to create, list and delete any room. It is valid for an hour."""
    grants = api.VideoGrants(room_create=True, room_list=True)
    token = api.AccessToken(key, secret).with_grants(grants).with_ttl(timedelta(hours=1))
    return token.to_jwt()
