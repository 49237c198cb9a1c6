"""The cause that a SIP status of a failed dial indicates, and the next step. Does no I/O."""

from collections.abc import Mapping
from typing import TypeAlias

from gateway.explanation.status import Status

#: Status, the most likely cause, the next step.
Meaning: TypeAlias = tuple[Status, str, str]

_DOCTOR = "python -m gateway doctor"
_ROUTE = f"{_DOCTOR}: see inbound route; python -m gateway setup"
_SIP_HOST = f"{_DOCTOR}: see SIP host, SIP by UDP and SIP by TCP"

OTHER = (
    Status.FAIL,
    "the far end failed",
    "see its SIP status; Jambonz (Recent calls) and livekit-sip's log have the trace",
)

_CREDENTIALS = (
    Status.FAIL,
    "LiveKit's trunk requires credentials, and Jambonz sent none or others",
    _ROUTE,
)

#: By LiveKit's response to Jambonz's INVITE; 0 for none.
TO_LIVEKIT: Mapping[int, Meaning] = {
    0: (
        Status.FAIL,
        "Jambonz could not place the call at LiveKit's SIP host",
        _SIP_HOST,
    ),
    401: _CREDENTIALS,
    403: (Status.FAIL, "LiveKit's trunk does not allow this address", _ROUTE),
    404: (
        Status.FAIL,
        "LiveKit has no trunk or rule for this INVITE, or LIVEKIT_SIP_HOST is another project's",
        _ROUTE,
    ),
    407: _CREDENTIALS,
    408: (Status.FAIL, "LiveKit's SIP host did not answer the INVITE", _SIP_HOST),
    480: (
        Status.FAIL,
        "LiveKit's SIP service could not take the call",
        f"{_DOCTOR}: see worker and inbound route",
    ),
    486: (
        Status.FAIL,
        "LiveKit had no such room any more: no agent joined in time, or LIVEKIT_SIP_HOST and "
        "LIVEKIT_URL belong to different projects",
        f"{_DOCTOR}: see worker; compare LIVEKIT_SIP_HOST with the project's settings",
    ),
    487: (
        Status.FAIL,
        "not answered within inbound.ringing_timeout",
        f"{_DOCTOR}: see worker and inbound route",
    ),
    488: (Status.FAIL, "LiveKit and Jambonz have no codec in common", "allow PCMU at Jambonz"),
    503: (
        Status.FAIL,
        "LiveKit could not choose a trunk or rule, or its SIP service is busy",
        _ROUTE,
    ),
    603: (Status.FAIL, "LiveKit declined the call", _ROUTE),
}

_SPAM = (
    Status.FAIL,
    "the call was rejected as unwanted: the caller's number is taken for spam",
    "have the number registered with the carrier (CNAM, STIR/SHAKEN), or call from another",
)

#: By the response of the carrier or the callee to LiveKit's INVITE; 0 for none.
TO_CARRIER: Mapping[int, Meaning] = {
    0: (
        Status.FAIL,
        "the far end did not answer, and LiveKit reported no cause",
        f"{_DOCTOR}: see outbound trunk",
    ),
    401: (
        Status.FAIL,
        "the carrier requires credentials, or other ones",
        "set SIP_OUTBOUND_USERNAME and SIP_OUTBOUND_PASSWORD, then python -m gateway setup --apply",
    ),
    403: (
        Status.FAIL,
        "the carrier does not allow this caller ID, destination or account",
        "send a caller_number that the carrier has registered for this account",
    ),
    404: (
        Status.WARN,
        "the number does not exist",
        "check its format: most carriers require the country code, some a leading +",
    ),
    407: (
        Status.FAIL,
        "the carrier requires credentials, or other ones",
        "set SIP_OUTBOUND_USERNAME and SIP_OUTBOUND_PASSWORD, then python -m gateway setup --apply",
    ),
    408: (Status.WARN, "the callee or the carrier did not answer", "try again later"),
    410: (Status.WARN, "the number does not exist any more", "remove it"),
    480: (Status.WARN, "the callee cannot be reached now", "try again later"),
    484: (Status.WARN, "the number is incomplete", "check it"),
    486: (Status.WARN, "the callee is busy", "try again later"),
    487: (Status.WARN, "the callee did not answer", "try again later"),
    488: (Status.FAIL, "the carrier accepts none of LiveKit's codecs", "allow PCMU or PCMA there"),
    503: (
        Status.FAIL,
        "the carrier cannot take the call, or the trunk's address is wrong",
        f"{_DOCTOR}: see outbound trunk",
    ),
    600: (Status.WARN, "the callee is busy", "try again later"),
    603: (Status.WARN, "the callee declined", ""),
    604: (Status.WARN, "the number does not exist", "check it"),
    607: _SPAM,
    608: _SPAM,
}
