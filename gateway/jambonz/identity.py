"""Who a call is really from, and who diverted it: read from its INVITE's headers. Pure.

Carriers set these headers; what a caller's own equipment sets a carrier should remove.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from gateway.calls.call import TEXT_LIMIT
from gateway.calls.sip_headers import header_values, parameters_of, party_of, uri_of

#: Reasons of RFC 5806 by the `cause` of a History-Info entry (RFC 4458 §2, RFC 7544 §7.4).
_REASONS_BY_CAUSE = {
    "302": "unconditional",
    "404": "unknown",
    "408": "no-answer",
    "480": "deflection",
    "486": "user-busy",
    "487": "deflection",
    "503": "unavailable",
}
_CAUSE = re.compile(r";cause=(\d{3})")


@dataclass(frozen=True, slots=True)
class Diversion:
    """Who diverted the call last, and why (`user-busy`, `no-answer`, …); "" if not known."""

    party: str = ""
    reason: str = ""


def asserted_identity(headers: Mapping[str, str]) -> str:
    """The caller as the carrier vouches for them: P-Asserted-Identity (RFC 3325 §9.1).

    A telephone number or a SIP URI. It is there for an anonymous caller, too.
    """
    parties = map(party_of, header_values(header(headers, "P-Asserted-Identity")))
    return next(filter(None, parties), "")[:TEXT_LIMIT]


def diversion(headers: Mapping[str, str]) -> Diversion:
    """The last diversion by Diversion (RFC 5806), else by History-Info (RFC 7044)."""
    diverted = header_values(header(headers, "Diversion"))
    if diverted:
        last = diverted[0]  # the newest is on top
        reason = parameters_of(last).get("reason", "")
        return Diversion(party_of(last)[:TEXT_LIMIT], reason[:TEXT_LIMIT])
    return _from_history(header_values(header(headers, "History-Info")))


def header(headers: Mapping[str, str], name: str) -> str:
    """The value of a header, "" if it is missing; names are case-insensitive (RFC 3261 §7.3.1)."""
    return next((value for key, value in headers.items() if key.lower() == name.lower()), "")


def _from_history(entries: list[str]) -> Diversion:
    """The entries are targets in the order in which the call was sent to them: the last is here."""
    if len(entries) < 2:
        return Diversion()
    before, here = entries[-2:]
    cause = _cause_of(here) or _cause_of(before)
    return Diversion(party_of(before)[:TEXT_LIMIT], _REASONS_BY_CAUSE.get(cause, ""))


def _cause_of(entry: str) -> str:
    """The `cause` of the entry's URI, or of the Reason in it (`?Reason=SIP%3Bcause%3D486`)."""
    found = _CAUSE.search(unquote(uri_of(entry)))
    return found[1] if found else ""
