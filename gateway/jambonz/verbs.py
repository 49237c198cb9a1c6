"""Builders for the Jambonz verbs that the gateway answers with. Pure.

One unknown property makes Jambonz reject a whole answer, so every property here is one of
@jambonz/verb-specifications; the tests run its own validator over what is built.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gateway.calls.destinations import Credentials, DialLimits, FallbackTarget

Verb: TypeAlias = Mapping[str, object]
Verbs: TypeAlias = Sequence[Verb]


def dial_room(
    sip_uri: str,
    *,
    action_hook: str,
    refer_hook: str,
    headers: Mapping[str, str],
    limits: DialLimits,
    credentials: Credentials | None = None,
) -> Verb:
    """Dial the LiveKit room; the caller hears ringing until the agent has answered.

    `refer_hook` is asked when the agent's side sends a REFER.
    """
    target: dict[str, object] = {"type": "sip", "sipUri": sip_uri}
    if credentials:
        target["auth"] = {"username": credentials.username, "password": credentials.password}
    dial = _dial(target, action_hook, limits)
    return {**dial, "referHook": refer_hook, "headers": dict(headers)}


def dial_static(sip_uri: str, *, limits: DialLimits) -> Verbs:
    """Dial and nothing more: nobody is told how it ends."""
    return [_dial({"type": "sip", "sipUri": sip_uri}, "", limits)]


def transfer_to(target: FallbackTarget, *, action_hook: str, limits: DialLimits) -> Verbs:
    """Connect an answered caller to somebody else; the call is over when that is."""
    return [_dial(_target(target), action_hook, limits), *hang_up()]


def enqueue(queue: str, *, wait_hook: str, action_hook: str) -> Verbs:
    """Have the caller wait; `wait_hook` is asked what they hear, again and again.

    Jambonz answers the caller for it (jambonz-feature-server 0.9.8, `enqueue`).
    """
    return [{"verb": "enqueue", "name": queue, "waitHook": wait_hook, "actionHook": action_hook}]


def dequeue(queue: str, *, timeout: int) -> Verbs:
    """Bridge this leg with whoever waits in `queue`; gives up after `timeout` s.

    Jambonz looks after 1 s and then every 5 s.
    """
    return [{"verb": "dequeue", "name": queue, "timeout": timeout}, *hang_up()]


def play(url: str) -> Verbs:
    """Play a recording, or a tone as FreeSWITCH's tone_stream has them."""
    return [{"verb": "play", "url": url}]


def leave() -> Verbs:
    """Leave the queue; its action hook is asked what comes next."""
    return [{"verb": "leave"}]


def hang_up() -> Verbs:
    """End a call that has been answered."""
    return [{"verb": "hangup"}]


def fallback(target: FallbackTarget, *, action_hook: str, limits: DialLimits) -> Verbs:
    """Hand the caller to `target`; `action_hook` is asked for the next one if that fails."""
    if target.say:
        return [{"verb": "say", "text": target.say}, *hang_up()]
    return [_dial(_target(target), action_hook, limits)]


def decline(status: int, reason: str) -> Verbs:
    """Refuse an unanswered call with a SIP status (RFC 3261 §21)."""
    return [{"verb": "sip:decline", "status": status, "reason": reason}]


def _target(target: FallbackTarget) -> Mapping[str, str]:
    if target.sip:
        return {"type": "sip", "sipUri": target.sip}
    phone = {"type": "phone", "number": target.phone}
    return {**phone, "trunk": target.trunk} if target.trunk else phone


def _dial(target: Mapping[str, object], action_hook: str, limits: DialLimits) -> Verb:
    return {
        "verb": "dial",
        **({"actionHook": action_hook} if action_hook else {}),
        # Without it Jambonz answers the caller before there is anybody to talk to.
        "answerOnBridge": True,
        "timeout": limits.ringing_timeout,
        "timeLimit": limits.max_duration,
        "target": [target],
    }
