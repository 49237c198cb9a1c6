"""Builders for the Jambonz verbs that the gateway answers with. Pure.

One unknown property makes Jambonz reject a whole answer, so every property here is one of
@jambonz/verb-specifications; the tests run its own validator over what is built.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Verb: TypeAlias = Mapping[str, object]
Verbs: TypeAlias = Sequence[Verb]


@dataclass(frozen=True, slots=True)
class FallbackTarget:
    """Where a caller goes when no agent can be had: exactly one of `sip`, `phone`, `say`.

    `trunk` is the Jambonz carrier for `phone`; without it Jambonz picks one.
    """

    sip: str = ""
    phone: str = ""
    trunk: str = ""
    say: str = ""

    def __str__(self) -> str:
        return self.sip or self.phone or "say"


@dataclass(frozen=True, slots=True)
class DialLimits:
    """`ring_timeout`: how long the far end may ring; `max_duration`: the longest call (both s)."""

    ring_timeout: int
    max_duration: int


def dial_room(
    sip_uri: str, *, action_hook: str, headers: Mapping[str, str], limits: DialLimits
) -> Verb:
    """Dial the LiveKit room; the caller hears ringing until the agent has answered."""
    target = {"type": "sip", "sipUri": sip_uri}
    return {**_dial(target, action_hook, limits), "headers": dict(headers)}


def fallback(target: FallbackTarget, *, action_hook: str, limits: DialLimits) -> Verbs:
    """Hand the caller to `target`; `action_hook` is asked for the next one if that fails."""
    if target.say:
        return [{"verb": "say", "text": target.say}, {"verb": "hangup"}]
    if target.sip:
        return [_dial({"type": "sip", "sipUri": target.sip}, action_hook, limits)]
    phone = {"type": "phone", "number": target.phone}
    if target.trunk:
        phone["trunk"] = target.trunk
    return [_dial(phone, action_hook, limits)]


def decline(status: int, reason: str) -> Verbs:
    """Refuse an unanswered call with a SIP status (RFC 3261 §21)."""
    return [{"verb": "sip:decline", "status": status, "reason": reason}]


def _dial(target: Mapping[str, object], action_hook: str, limits: DialLimits) -> Verb:
    return {
        "verb": "dial",
        "actionHook": action_hook,
        # Without it Jambonz answers the caller before there is anybody to talk to.
        "answerOnBridge": True,
        "timeout": limits.ring_timeout,
        "timeLimit": limits.max_duration,
        "target": [target],
    }
