"""LiveKit's webhooks: their JWT, which the agent's reports have too, and the events they report."""

import base64
import binascii
import contextlib
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, replace

import jwt
from google.protobuf.json_format import Parse, ParseError
from livekit import api
from livekit.api.access_token import Claims
from livekit.protocol.webhook import WebhookEvent

from gateway.calls.call import Event, EventKind
from gateway.calls.participants import ParticipantKind
from gateway.calls.reasons import DisconnectionReason
from gateway.config.settings import KeyPair
from gateway.livekit.participants import (
    Departure,
    departure_detail,
    departure_of,
    joining,
    leaving,
    participant_of,
)
from gateway.livekit.rooms import agent_ids, is_audible

#: What PyJWT and livekit-api raise about claims of another type than theirs.
_ODD_CLAIMS = (
    *(ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError),
    ParseError,
)
_LEFT = frozenset({"participant_left", "participant_connection_aborted"})


class AuthenticationFailed(Exception):
    """The JWT does not authenticate the body; the text says why."""


class MalformedEvent(Exception):
    """The body is authenticated and yet no webhook event."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """A webhook about a room. `event` is None where it means nothing to a call.

    `metadata` is the room's, "" where LiveKit leaves it out.
    """

    name: str
    room: str
    event: Event | None
    room_sid: str = ""
    metadata: str = ""


class WebhookVerifier:
    """Checks the JWT in `Authorization`: signed with a LiveKit key, it has the body's SHA-256.

    LiveKit authenticates its webhooks by it (docs.livekit.io/home/server/webhooks), and the agent
    its reports.
    """

    def __init__(self, keys: Iterable[KeyPair]) -> None:
        """Accepts each of `keys`; there are several while a key is rotated."""
        self._verifiers = [api.TokenVerifier(pair.key, pair.secret) for pair in keys]

    def signed_hash(self, authorization: str | None) -> bytes:
        """The SHA-256 of the body that the token was made for. Raises AuthenticationFailed."""
        if not authorization:
            raise AuthenticationFailed(
                "the Authorization header is missing: LiveKit and the worker send a token in it, "
                "and a proxy must pass it on"
            )
        try:
            claims = self._claims(authorization.removeprefix("Bearer "))
            signed_hash = base64.b64decode(claims.sha256 or "")
        except (jwt.InvalidTokenError, binascii.Error) as error:
            raise AuthenticationFailed(_why_invalid(error)) from error
        except _ODD_CLAIMS as error:
            raise AuthenticationFailed("the token's claims are not those of LiveKit") from error
        if not signed_hash:
            raise AuthenticationFailed("the token has no hash of a body: it is not a webhook's")
        return signed_hash

    def _claims(self, token: str) -> Claims:
        """Raises the first key's InvalidTokenError if no key accepts the token."""
        first, *rotated = self._verifiers
        try:
            return first.verify(token)
        except jwt.InvalidTokenError:
            for verifier in rotated:
                with contextlib.suppress(jwt.InvalidTokenError):
                    return verifier.verify(token)
            raise


def check_body(signed_hash: bytes, body: bytes) -> None:
    """Raises AuthenticationFailed."""
    if not hmac.compare_digest(signed_hash, hashlib.sha256(body).digest()):
        raise AuthenticationFailed(
            "the token was made for another body: no proxy may change it on its way"
        )


def _why_invalid(error: Exception) -> str:
    """What is wrong with a token, without any part of it."""
    match error:
        case jwt.ExpiredSignatureError() | jwt.ImmatureSignatureError():
            # Tokens are valid for minutes, and made for each request.
            which = "expired" if isinstance(error, jwt.ExpiredSignatureError) else "not valid yet"
            return f"the token is {which}: set the clocks of its sender and of this machine by NTP"
        case jwt.InvalidSignatureError():
            return (
                "the token is signed with another secret than LIVEKIT_API_SECRET, which must be "
                "the same here and at its sender"
            )
        case jwt.InvalidIssuerError():
            return (
                "the token is made with another key than LIVEKIT_API_KEY, which must be the same "
                "here and at its sender"
            )
    return "the Authorization header has no token that can be read"


def read_webhook(body: bytes, received_at: int) -> RoomEvent:
    """Parse `body` (JSON of livekit.WebhookEvent). `received_at` in ms since epoch.

    The event gets the time of receipt: LiveKit's own time stamps are in whole seconds.
    Raises MalformedEvent.
    """
    try:
        webhook = Parse(body.decode(), WebhookEvent(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError) as error:
        raise MalformedEvent(f"not a LiveKit webhook event: {error}") from error
    if not webhook.event:
        raise MalformedEvent("not a LiveKit webhook event: it has no name")
    event = _agent_audible(webhook, received_at) or _event(webhook, received_at)
    return RoomEvent(
        name=webhook.event,
        room=webhook.room.name,
        event=replace(event, id=webhook.id) if event else None,
        room_sid=webhook.room.sid,
        metadata=webhook.room.metadata,
    )


def _event(webhook: WebhookEvent, at: int) -> Event | None:
    """The event; `calls/attribution.py` tells whether a SIP leg is the caller's."""
    if webhook.event == "room_finished":
        return Event(EventKind.ROOM_FINISHED, at)
    info, participant = webhook.participant, participant_of(webhook.participant)
    if webhook.event == "participant_joined":
        kind = joining(participant.kind)
        return Event(kind, at, detail=participant.identity, participant=participant)
    if webhook.event not in _LEFT:
        return None  # other tracks, egress
    departure = departure_of(info)
    return Event(
        leaving(participant.kind),
        at,
        reason=_reason(participant.kind, departure),
        detail=departure_detail(info),
        participant=participant,
        may_return=departure.may_return,
    )


def _agent_audible(webhook: WebhookEvent, at: int) -> Event | None:
    """The event of a webhook about an agent's audio track.

    livekit-server 1.13.5 leaves the kind of a track's participant out, so the identity counts. An
    agent that has chosen another identity is found in its room (lifecycle/agent_wait.py).
    """
    identity = webhook.participant.identity
    ids = agent_ids(identity)
    if webhook.event == "track_published" and ids and is_audible(webhook.track):
        return Event(EventKind.AGENT_AUDIBLE, at, ids=ids, detail=identity)
    return None


def _reason(kind: ParticipantKind, departure: Departure) -> DisconnectionReason | None:
    """Why the call may end by it."""
    reasons = {ParticipantKind.SIP: departure.caller, ParticipantKind.AGENT: departure.agent}
    return reasons.get(kind)
