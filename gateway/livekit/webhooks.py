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
from livekit.protocol.models import DisconnectReason, ParticipantInfo
from livekit.protocol.webhook import WebhookEvent

from gateway.calls.call import DisconnectionReason, Event, EventKind
from gateway.config.settings import KeyPair

USER_HANGUP = DisconnectionReason.USER_HANGUP
AGENT_HANGUP = DisconnectionReason.AGENT_HANGUP
AGENT_ERROR = DisconnectionReason.AGENT_ERROR

#: The agent or the gateway has deleted the room or removed the participant.
_ENDED_BY_SERVER_API = frozenset(
    {
        DisconnectReason.ROOM_DELETED,
        DisconnectReason.ROOM_CLOSED,
        DisconnectReason.PARTICIPANT_REMOVED,
    }
)
_ON_PURPOSE = _ENDED_BY_SERVER_API | {DisconnectReason.CLIENT_INITIATED}
#: What PyJWT and livekit-api raise about claims of another type than theirs.
_ODD_CLAIMS = (
    *(ValueError, TypeError, AttributeError, KeyError, OverflowError, RecursionError),
    ParseError,
)
_REASON_NAMES = {number: name for name, number in DisconnectReason.items()}


class AuthenticationFailed(Exception):
    """The JWT does not authenticate the body; the text says why."""


class MalformedEvent(Exception):
    """The body is authenticated and yet no webhook event."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """A webhook about a room. `event` is None where it means nothing to a call.

    `metadata` is the room's, "" where LiveKit leaves it out. `rule_id` is the dispatch rule of the
    SIP participant that the webhook is about, "" if it is about none or one that was dialed.
    """

    name: str
    room: str
    event: Event | None
    room_sid: str = ""
    metadata: str = ""
    rule_id: str = ""


class WebhookVerifier:
    """Checks the JWT in `Authorization`: signed with a LiveKit key, it has the body's SHA-256.

    LiveKit authenticates its webhooks by it (docs.livekit.io/home/server/webhooks), and the agent
    its reports.
    """

    def __init__(self, keys: Iterable[KeyPair]) -> None:
        """Accepts each of `keys`; there are several while a key is rotated."""
        self._verifiers = [api.TokenVerifier(pair.key, pair.secret) for pair in keys]

    def check(self, authorization: str | None, body: bytes) -> None:
        """Raises AuthenticationFailed."""
        if not authorization:
            raise AuthenticationFailed("the Authorization header is missing")
        try:
            claims = self._claims(authorization.removeprefix("Bearer "))
            signed_hash = base64.b64decode(claims.sha256 or "")
        except (jwt.InvalidTokenError, binascii.Error) as error:
            raise AuthenticationFailed(f"the token is not valid: {error}") from error
        except _ODD_CLAIMS as error:
            raise AuthenticationFailed("the token's claims are not those of LiveKit") from error
        if not hmac.compare_digest(signed_hash, hashlib.sha256(body).digest()):
            raise AuthenticationFailed("the token was not made for this body")

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
    event = _event(webhook, received_at)
    return RoomEvent(
        name=webhook.event,
        room=webhook.room.name,
        event=replace(event, id=webhook.id) if event else None,
        room_sid=webhook.room.sid,
        metadata=webhook.room.metadata,
        rule_id=webhook.participant.attributes.get("sip.ruleID", ""),
    )


def _event(webhook: WebhookEvent, at: int) -> Event | None:
    participant = webhook.participant
    identity, why = participant.identity, participant.disconnect_reason
    match webhook.event, participant.kind:
        case "room_finished", _:
            return Event(EventKind.ROOM_FINISHED, at)
        case "participant_joined", ParticipantInfo.Kind.SIP:
            return Event(EventKind.CALLER_JOINED, at, ids=_sip_ids(participant), detail=identity)
        case "participant_joined", ParticipantInfo.Kind.AGENT:
            return Event(EventKind.AGENT_JOINED, at, detail=identity)
        case "participant_left" | "participant_connection_aborted", ParticipantInfo.Kind.SIP:
            reason = AGENT_HANGUP if why in _ENDED_BY_SERVER_API else USER_HANGUP
            return Event(EventKind.CALLER_LEFT, at, reason=reason, detail=_departure(participant))
        case "participant_left" | "participant_connection_aborted", ParticipantInfo.Kind.AGENT:
            reason = AGENT_HANGUP if why in _ON_PURPOSE else AGENT_ERROR
            return Event(EventKind.AGENT_LEFT, at, reason=reason, detail=_departure(participant))
    return None  # tracks, egress, and participants of other kinds


def _sip_ids(participant: ParticipantInfo) -> dict[str, str]:
    sip_call_id = participant.attributes.get("sip.callID")
    return {"sip_call_id": sip_call_id} if sip_call_id else {}


def _departure(participant: ParticipantInfo) -> str:
    why = participant.disconnect_reason
    # A newer LiveKit may send reasons that this version of its protocol has no name for.
    return f"{participant.identity}: {_REASON_NAMES.get(why, why)}"
