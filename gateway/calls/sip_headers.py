"""Reads the values of SIP headers: lists, addresses with parameters, the Reason header. Pure."""

import re
from collections.abc import Mapping

#: A part of a header that commas and semicolons do not divide: "…" (RFC 3261 §25.1) or <…>.
_ATOM = r'"(?:[^"\\]|\\.)*"|<[^>]*>'
_VALUE = re.compile(rf"(?:{_ATOM}|[^,])+")
_PARAMETER = re.compile(rf"(?:{_ATOM}|[^;])+")
_NUMBER = re.compile(r"\+?[0-9][0-9().-]*")
_SEPARATORS = re.compile(r"[().-]")


def header_values(text: str) -> list[str]:
    """The values of a header that has several, comma-separated (RFC 3261 §7.3.1)."""
    return [value.strip() for value in _VALUE.findall(text) if value.strip()]


def uri_of(value: str) -> str:
    """The URI of a `name-addr` or `addr-spec`, with its own parameters and headers."""
    bracketed = re.search(r"<([^>]*)>", re.sub(r'"(?:[^"\\]|\\.)*"', "", value))
    return bracketed[1].strip() if bracketed else value.partition(";")[0].strip()


def party_of(value: str) -> str:
    """Who an address names: a telephone number without separators, else the bare URI.

    "" for what is no `tel:`, `sip:` or `sips:` URI.
    """
    uri = re.split(r"[;?]", uri_of(value))[0]
    scheme, _, rest = uri.partition(":")
    if scheme.lower() not in {"tel", "sip", "sips"}:
        return ""
    user = rest.partition("@")[0]
    return _SEPARATORS.sub("", user) if _NUMBER.fullmatch(user) else uri


def parameters_of(value: str) -> Mapping[str, str]:
    """The parameters behind the address or token, with lower-case names and without quotes."""
    pairs = (part.partition("=") for part in _PARAMETER.findall(value)[1:])
    return {name.strip().lower(): _unquoted(text.strip()) for name, _, text in pairs}


def release_cause(reason: str) -> str:
    """A Reason header (RFC 3326) in words: `Q.850 cause 18, No user responding`.

    Of several reasons the carrier's (Q.850) counts. "" without a cause.
    """
    reasons = [
        (value.partition(";")[0].strip(), parameters_of(value)) for value in header_values(reason)
    ]
    with_cause = [(protocol, found) for protocol, found in reasons if found.get("cause")]
    if not with_cause:
        return ""
    protocol, found = min(with_cause, key=lambda entry: entry[0].upper() != "Q.850")
    words = f"{protocol} cause {found['cause']}"
    return f"{words}, {found['text']}" if found.get("text") else words


def reason_with_cause(phrase: str, reason: str) -> str:
    """A response's reason phrase, followed by the cause that a Reason header gives."""
    cause = release_cause(reason)
    return f"{phrase} ({cause})".lstrip() if cause else phrase


def _unquoted(text: str) -> str:
    quoted = len(text) > 1 and text.startswith('"') and text.endswith('"')
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if quoted else text
