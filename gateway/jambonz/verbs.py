"""Builds the verbs that answer hooks: dial, gather, enqueue, dequeue, leave, play, say, hangup.

Pure. Jambonz rejects an answer with a single unknown property, so the tests check each builder with
Jambonz's own schemas and with @jambonz/verb-specifications.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from gateway.calls.destinations import Credentials, DialOptions, FallbackTarget

Verb: TypeAlias = Mapping[str, object]
Verbs: TypeAlias = Sequence[Verb]

#: How long a transfer's target may think after the announcement, in s.
KEY_TIMEOUT = 10
_MARKUP = re.compile(r"[<>&\x00-\x1f\x7f]")


def dial_room(
    sip_uri: str,
    *,
    action_hook: str,
    refer_hook: str,
    headers: Mapping[str, str],
    options: DialOptions,
    credentials: Credentials | None = None,
    caller_id: str = "",
) -> Verb:
    """Dial the LiveKit room at `sip_uri`.

    Jambonz posts to `action_hook` when the dial has ended, and to `refer_hook` when LiveKit sends a
    REFER. LiveKit challenges the INVITE for `credentials` if its trunk has a password. Without
    `caller_id` it is called from the A leg's caller.
    """
    target: dict[str, object] = {"type": "sip", "sipUri": sip_uri}
    if credentials:
        target["auth"] = {"username": credentials.username, "password": credentials.password}
    dial = {
        **_dial(target, action_hook, options),
        "referHook": refer_hook,
        "headers": dict(headers),
    }
    return {**dial, "callerId": caller_id} if caller_id else dial


def dial_uri(sip_uri: str, *, options: DialOptions) -> Verbs:
    """Dial a SIP URI, without hooks."""
    return [_dial({"type": "sip", "sipUri": sip_uri}, "", options)]


def transfer_to(
    target: FallbackTarget, *, action_hook: str, options: DialOptions, confirm_hook: str = ""
) -> Verbs:
    """Dial `target` for an answered caller, and hang up once that dial has ended.

    With a `confirm_hook` the target hears its verbs first.
    """
    dial = _dial(_target(target), action_hook, options)
    return [{**dial, "confirmHook": confirm_hook} if confirm_hook else dial, *hangup()]


def announce(summary: str, *, prompt: str, action_hook: str) -> Verbs:
    """Say `summary` and `prompt` to a transfer's target, and post the key that they press.

    A `prompt` that is the URL of a recording is played instead of both. A key is heard during it,
    too. Without an answer to `action_hook` the target is hung up on.
    """
    if prompt.startswith(("http://", "https://")):
        heard = {"play": {"url": prompt}}
    else:
        heard = {"say": {"text": _plain(summary, prompt)}}
    gather: dict[str, object] = {"verb": "gather", "actionHook": action_hook}
    keys = {"input": ["digits"], "numDigits": 1, "timeout": KEY_TIMEOUT}
    return [{**gather, **keys, **heard}, *hangup()]


def proceed() -> Verbs:
    """Run no other verb: an empty answer would let the remaining ones run."""
    return [{"verb": "pause", "length": 0}]


def _plain(*texts: str) -> str:
    """As plain text: speech services read markup (SSML) otherwise."""
    return " ".join(_MARKUP.sub(" ", " ".join(texts)).split())


def enqueue(queue: str, *, wait_hook: str, action_hook: str) -> Verbs:
    """Put the caller into `queue`; the verbs from `wait_hook` are played to them, repeatedly.

    Jambonz answers the caller first (jambonz-feature-server 0.9.8, `enqueue`).
    """
    return [{"verb": "enqueue", "name": queue, "waitHook": wait_hook, "actionHook": action_hook}]


def dequeue(queue: str, *, timeout: int) -> Verbs:
    """Bridge this leg with the first caller in `queue`; hang up if there is none for `timeout` s.

    Jambonz checks the queue after 1 s and then every 5 s (jambonz-feature-server 0.9.8).
    """
    return [{"verb": "dequeue", "name": queue, "timeout": timeout}, *hangup()]


def play(url: str) -> Verbs:
    """Play the recording at `url`, or a tone in the syntax of FreeSWITCH's `tone_stream://`."""
    return [{"verb": "play", "url": url}]


def leave() -> Verbs:
    """Take the caller out of the queue: Jambonz posts to the action hook of `enqueue`."""
    return [{"verb": "leave"}]


def hangup() -> Verbs:
    """End an answered call."""
    return [{"verb": "hangup"}]


def fallback(target: FallbackTarget, *, action_hook: str, options: DialOptions) -> Verbs:
    """Dial `target`; or play its recording, or say its text, and hang up.

    `action_hook` answers with the next target if the dial has failed.
    """
    if target.play:
        return [*play(target.play), *hangup()]
    if target.say:
        return [{"verb": "say", "text": target.say}, *hangup()]
    return [_dial(_target(target), action_hook, options)]


def sip_decline(status: int, reason: str) -> Verbs:
    """Reject an unanswered call with a final SIP response (RFC 3261 §21)."""
    return [{"verb": "sip:decline", "status": status, "reason": reason}]


def _target(target: FallbackTarget) -> Mapping[str, str]:
    if target.sip:
        return {"type": "sip", "sipUri": target.sip}
    phone = {"type": "phone", "number": target.phone}
    return {**phone, "trunk": target.trunk} if target.trunk else phone


def _dial(target: Mapping[str, object], action_hook: str, options: DialOptions) -> Verb:
    encryption = options.srtp_encryption
    return {
        "verb": "dial",
        **({"actionHook": action_hook} if action_hook else {}),
        # Without it Jambonz answers the caller before the callee has answered.
        "answerOnBridge": True,
        **({"dialMusic": options.ringing_tone} if options.ringing_tone else {}),
        # Jambonz before 0.9.8 rejects it.
        **({"srtpEncryption": encryption} if encryption != "none" else {}),
        "timeout": options.ringing_timeout,
        "timeLimit": options.max_duration,
        "target": [target],
    }
