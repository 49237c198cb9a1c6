"""LiveKit's webhooks and the agent's reports: the JWT that proves them, and what they mean."""

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

_BY_OTHERS = frozenset(
    {
        DisconnectReason.ROOM_DELETED,
        DisconnectReason.ROOM_CLOSED,
        DisconnectReason.PARTICIPANT_REMOVED,
    }
)
_REASONS = {number: name for name, number in DisconnectReason.items()}
_ON_PURPOSE = _BY_OTHERS | {DisconnectReason.CLIENT_INITIATED}


class ProofError(Exception):
    """The JWT does not prove the body; the text says why."""


class MalformedEvent(Exception):
    """The body is proven to be LiveKit's, and still no webhook event."""


@dataclass(frozen=True, slots=True)
class RoomEvent:
    """A webhook about a room. `event` is None where it means nothing to a call.

    `metadata` is the room's, "" where LiveKit does not tell; `rule_id` the dispatch rule that
    brought the caller whom it is about.
    """

    name: str
    room: str
    event: Event | None
    room_sid: str = ""
    metadata: str = ""
    rule_id: str = ""


class WebhookVerifier:
    """Checks `Authorization` JWTs signed with the LiveKit key over the body's SHA-256.

    So LiveKit signs its webhooks (docs.livekit.io/home/server/webhooks), and the agent its reports.
    """

    def __init__(self, keys: Iterable[KeyPair]) -> None:
        """Any of `keys` will do: several while one is rotated."""
        self._verifiers = [api.TokenVerifier(pair.key, pair.secret) for pair in keys]

    def check(self, authorization: str | None, body: bytes) -> None:
        """Raises ProofError."""
        if not authorization:
            raise ProofError("the Authorization header is missing")
        try:
            claims = self._claims(authorization.removeprefix("Bearer "))
            promised = base64.b64decode(claims.sha256 or "")
        except (jwt.InvalidTokenError, ValueError, binascii.Error) as error:
            raise ProofError(f"the token is not valid: {error}") from error
        if not hmac.compare_digest(promised, hashlib.sha256(body).digest()):
            raise ProofError("the token was not made for this body")

    def _claims(self, token: str) -> Claims:
        """Raises what the verifier of our own key does, if no other takes the token either."""
        first, *others = self._verifiers
        try:
            return first.verify(token)
        except jwt.InvalidTokenError:
            for verifier in others:
                with contextlib.suppress(jwt.InvalidTokenError):
                    return verifier.verify(token)
            raise


def read_webhook(body: bytes, received_at: int) -> RoomEvent:
    """`body` (JSON of livekit.WebhookEvent) as a RoomEvent; `received_at` in ms since epoch.

    LiveKit stamps its events in whole seconds only, so the moment of receipt is the better time.
    Raises MalformedEvent.
    """
    try:
        hook = Parse(body.decode(), WebhookEvent(), ignore_unknown_fields=True)
    except (ParseError, UnicodeDecodeError) as error:
        raise MalformedEvent(f"not a LiveKit webhook event: {error}") from error
    if not hook.event:
        raise MalformedEvent("not a LiveKit webhook event: it has no name")
    event = _event(hook, received_at)
    return RoomEvent(
        name=hook.event,
        room=hook.room.name,
        event=replace(event, id=hook.id) if event else None,
        room_sid=hook.room.sid,
        metadata=hook.room.metadata,
        rule_id=hook.participant.attributes.get("sip.ruleID", ""),
    )


def _event(hook: WebhookEvent, at: int) -> Event | None:
    who = hook.participant
    match hook.event, who.kind:
        case "room_finished", _:
            return Event(EventKind.ROOM_FINISHED, at)
        case "participant_joined", ParticipantInfo.Kind.SIP:
            return Event(EventKind.CALLER_JOINED, at, ids=_sip_ids(who), detail=who.identity)
        case "participant_joined", ParticipantInfo.Kind.AGENT:
            return Event(EventKind.AGENT_JOINED, at, detail=who.identity)
        case "participant_left" | "participant_connection_aborted", ParticipantInfo.Kind.SIP:
            reason = USER_HANGUP if _left_alone(who) else AGENT_HANGUP
            return Event(EventKind.CALLER_LEFT, at, reason=reason, detail=_departure(who))
        case "participant_left" | "participant_connection_aborted", ParticipantInfo.Kind.AGENT:
            reason = AGENT_HANGUP if who.disconnect_reason in _ON_PURPOSE else AGENT_ERROR
            return Event(EventKind.AGENT_LEFT, at, reason=reason, detail=_departure(who))
    return None  # tracks, egress, and people who only listen in


def _sip_ids(who: ParticipantInfo) -> dict[str, str]:
    sip_call_id = who.attributes.get("sip.callID")
    return {"sip_call_id": sip_call_id} if sip_call_id else {}


def _left_alone(who: ParticipantInfo) -> bool:
    """The caller went; nobody ended the room or put them out, which only the agent's side does."""
    return who.disconnect_reason not in _BY_OTHERS


def _departure(who: ParticipantInfo) -> str:
    # A newer LiveKit may have reasons that this protocol has no name for.
    return f"{who.identity}: {_REASONS.get(who.disconnect_reason, who.disconnect_reason)}"
