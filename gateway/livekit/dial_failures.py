"""Why LiveKit's dial failed, also where livekit-sip gives no SIP status but only a text. Pure.

Its texts and codes: livekit-sip 1.10, pkg/sip/{errors,protocol,outbound}.go.
"""

import re

from livekit import api

from gateway.calls.reasons import DisconnectionReason, no_final_response, reason_of_status
from gateway.errors import LiveKitRefused

#: LiveKit gave the INVITE up: nobody answered in time, or nothing answered at all.
_NO_FINAL_RESPONSE = frozenset(
    {api.ServerErrorCode.CANCELED, api.ServerErrorCode.DEADLINE_EXCEEDED}
)
#: The far end answered 401 or 407, and LiveKit has no credentials for it, or wrong ones.
_CHALLENGED = re.compile(r"required auth|max auth retry|no auth header")
#: Go's texts about name servers and sockets.
_UNREACHABLE = re.compile(
    r"\blookup \S|no such host|\b(?:dial|read|write) (?:udp|tcp)|connection (?:refused|reset)|"
    r"i/o timeout|no route to host|network is unreachable|broken pipe|\bEOF\b|\btls: "
)


def dial_failure_reason(error: LiveKitRefused, *, has_rung: bool) -> DisconnectionReason:
    """Why a dial failed that LiveKit refused; `has_rung`: a 180 or 183 came before."""
    if error.sip:
        return reason_of_status(error.sip.status, has_rung=has_rung)
    if _CHALLENGED.search(error.message):
        return DisconnectionReason.TELEPHONY_PROVIDER_PERMISSION_DENIED
    if error.code in _NO_FINAL_RESPONSE:
        return no_final_response(has_rung=has_rung)
    if _UNREACHABLE.search(error.message):
        return DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE
    return DisconnectionReason.DIAL_FAILED
