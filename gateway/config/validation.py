"""Checks across settings: one line for each problem, which says what to change. Pure."""

import re

from common.signing import REQUIRED_FORM, is_secret
from common.urls import UrlRejected, host_of, without_query
from gateway.config.settings import (
    MAX_DIAL_RINGING,
    Config,
    InboundSettings,
    LiveKitSettings,
    TrunkSettings,
)

#: `Name: value` (RFC 9110 §5).
FIXED_HEADER = re.compile(
    r"[A-Za-z0-9!#$%&'*+.^_`|~-]+:[ \t]*[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?"
)


def livekit_problems(livekit: LiveKitSettings) -> list[str]:
    """What is missing for requests to LiveKit."""
    return [
        f"{name} is not set: put it into the environment or .env.local"
        for name, value in (
            ("LIVEKIT_URL", livekit.url),
            ("LIVEKIT_API_KEY", livekit.api_key),
            ("LIVEKIT_API_SECRET", livekit.api_secret),
        )
        if not value
    ]


def encryption_problems(livekit: LiveKitSettings) -> list[str]:
    """Encrypted media without encrypted signalling: SDES sends its keys in the INVITE."""
    if livekit.sip_media_encryption == "none" or livekit.sip_transport == "tls":
        return []
    return [
        f"livekit.sip_media_encryption {livekit.sip_media_encryption} needs livekit.sip_transport "
        f"tls, not {livekit.sip_transport}: its keys are in the INVITE"
    ]


def credential_problems(trunks: TrunkSettings) -> list[str]:
    """SIP user names without a password, and passwords without a user name."""
    pairs = {
        "INBOUND": (trunks.inbound_username, trunks.inbound_password),
        "OUTBOUND": (trunks.outbound_username, trunks.outbound_password),
    }
    return [
        f"SIP_{which}_USERNAME and SIP_{which}_PASSWORD go together: set both or neither"
        for which, (username, password) in pairs.items()
        if bool(username) != bool(password)
    ]


def ringing_problems(inbound: InboundSettings) -> list[str]:
    """A ringing timeout that LiveKit, which dials with the participant strategy, cuts short."""
    if inbound.strategy != "participant" or inbound.ringing_timeout <= MAX_DIAL_RINGING:
        return []
    return [
        f"inbound.ringing_timeout: must be at most {MAX_DIAL_RINGING} with inbound.strategy: "
        "participant, since LiveKit dials then and rings no longer"
    ]


def validate_for_serve(config: Config) -> list[str]:
    """Everything that keeps `serve` from starting; empty if nothing does."""
    livekit = config.livekit
    problems = [
        *livekit_problems(livekit),
        *encryption_problems(livekit),
        *credential_problems(config.trunks),
        *ringing_problems(config.inbound),
    ]
    if livekit.is_cloud and not livekit.sip_host:
        problems.append(
            "LIVEKIT_SIP_HOST is not set: it is the SIP URI in the LiveKit Cloud project's settings"
        )
    for url in config.callbacks.urls:
        try:
            host_of(url)
        except UrlRejected as error:
            problems.append(f"callbacks.urls: {without_query(url)!r} {error}")
    if config.callbacks.header and not FIXED_HEADER.fullmatch(config.callbacks.header):
        problems.append("CALLBACK_HEADER must be of the form Name: value")
    if not all(map(is_secret, config.callbacks.secrets)):
        problems.append(f"CALLBACK_SECRET: {REQUIRED_FORM}")
    return problems
