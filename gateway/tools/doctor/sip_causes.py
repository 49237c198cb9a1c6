"""What a SIP status says about a dial that failed, and what to do. Pure."""

from collections.abc import Mapping
from typing import TypeAlias

from gateway.tools.doctor.check import Status

#: How bad it is, the most likely cause, the next step.
Meaning: TypeAlias = tuple[Status, str, str]

_DOCTOR = "python -m gateway doctor"
_ROUTE = f"{_DOCTOR}: see inbound route; python -m gateway setup"
_SIP_HOST = f"{_DOCTOR}: see SIP host, SIP by UDP and SIP by TCP"

OTHER = (
    Status.FAIL,
    "the far end failed",
    "its SIP status tells why; the trace is at Jambonz (Recent calls) or in livekit-sip's log",
)

#: What LiveKit's answer to Jambonz's INVITE says; 0 where there was none.
TO_LIVEKIT: Mapping[int, Meaning] = {
    0: (
        Status.FAIL,
        "Jambonz could not place the call at LiveKit's SIP host",
        _SIP_HOST,
    ),
    401: (Status.FAIL, "LiveKit's trunk wants credentials that Jambonz did not give", _ROUTE),
    403: (Status.FAIL, "LiveKit lets no calls in from this address", _ROUTE),
    404: (
        Status.FAIL,
        "LiveKit has no trunk or rule for this INVITE, or its SIP host is another project's",
        _ROUTE,
    ),
    407: (Status.FAIL, "LiveKit's trunk wants credentials that Jambonz did not give", _ROUTE),
    408: (Status.FAIL, "LiveKit's SIP host did not answer the INVITE", _SIP_HOST),
    480: (
        Status.FAIL,
        "LiveKit's SIP service could not take the call",
        f"{_DOCTOR}: see worker and inbound route",
    ),
    486: (
        Status.FAIL,
        "LiveKit had no such room (any more): no agent came in time, or LIVEKIT_SIP_HOST is "
        "another project's than LIVEKIT_URL",
        f"{_DOCTOR}: see worker; compare LIVEKIT_SIP_HOST with the project's settings",
    ),
    487: (
        Status.FAIL,
        "it rang for as long as it may (inbound.ringing_timeout) and nobody answered",
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

#: What the carrier or the callee says to LiveKit's INVITE; 0 where nothing was heard.
TO_CARRIER: Mapping[int, Meaning] = {
    0: (
        Status.FAIL,
        "the far end did not answer, and LiveKit did not say why",
        f"{_DOCTOR}: see outbound trunk",
    ),
    401: (
        Status.FAIL,
        "the carrier wants credentials, or others",
        "SIP_OUTBOUND_USERNAME and SIP_OUTBOUND_PASSWORD, then python -m gateway setup --apply",
    ),
    403: (
        Status.FAIL,
        "the carrier does not allow this caller ID, destination or account",
        "send a caller_number that the carrier knows as yours, or ask it which are",
    ),
    404: (
        Status.WARN,
        "there is no such number",
        "check its form: most carriers want the country code, some a leading +",
    ),
    407: (
        Status.FAIL,
        "the carrier wants credentials, or others",
        "SIP_OUTBOUND_USERNAME and SIP_OUTBOUND_PASSWORD, then python -m gateway setup --apply",
    ),
    408: (Status.WARN, "the callee or the carrier did not answer", "try again later"),
    480: (Status.WARN, "the callee cannot be reached now", "try again later"),
    484: (Status.WARN, "the number is not complete", "check it"),
    486: (Status.WARN, "the callee is busy", "try again later"),
    487: (Status.WARN, "nobody answered while it rang", "try again later"),
    488: (Status.FAIL, "the carrier takes none of LiveKit's codecs", "allow PCMU or PCMA there"),
    503: (
        Status.FAIL,
        "the carrier cannot take the call, or the trunk's address is wrong",
        f"{_DOCTOR}: see outbound trunk",
    ),
    600: (Status.WARN, "the callee is busy", "try again later"),
    603: (Status.WARN, "the callee declined", ""),
    604: (Status.WARN, "there is no such number", "check it"),
}
