"""Hosts and URLs in settings: the forms that people paste become the one form in use. Pure.

Each function returns that form, or raises ValueError with a text that shows it. The text repeats
what was given only where that cannot contain a password.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_HOST_AND_PORT = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:]+)(?::(?P<port>[0-9]{1,5}))?")
#: RFC 3261 §19.1: without a password, since a URI is shown in logs.
_SIP_URI = re.compile(r"(?P<start>sips?:(?:[^@:;?\s<>\"]+@)?)(?P<host>[^@;?\s]+)(?P<rest>;[!-~]*)?")
#: The first part of the paths that this gateway serves.
_ENDPOINTS = ("/livekit-api", "/livekit/webhook", "/livekit-simple", "/dispatch")


def read_host_and_port(text: str) -> str:
    """`host`, `host:port`, `[v6]` or `[v6]:port`; an IPv6 address may lack its brackets."""
    if _is_ipv6(text):
        return f"[{text}]"
    match = _HOST_AND_PORT.fullmatch(text)
    if not (match and _is_host(match["host"]) and 0 < int(match["port"] or 1) <= 65_535):
        raise ValueError("must be host or host:port")
    return text


def read_listen_host(text: str) -> str:
    """An address or a name to listen on, without a port."""
    host = text.strip().removeprefix("[").removesuffix("]")
    if not (_is_ipv6(host) or _is_host(host)):
        raise _wrong(text, "must be an address or a name without a port, such as 0.0.0.0 or ::")
    return host


def read_sip_host(text: str) -> str:
    """The host of a SIP URI as LiveKit and carriers show it: `sip:abc.sip.livekit.cloud`."""
    try:
        return read_host_and_port(text.strip().strip("<>").rstrip("/").removeprefix("sip:"))
    except ValueError:
        form = "must be a host such as abc.sip.livekit.cloud, 192.0.2.10:5060 or [2001:db8::10]"
        raise _wrong(text, f"{form}, without a transport") from None


def read_sip_uri(text: str) -> str:
    """`sip:user@host`, perhaps with a port and parameters."""
    match = _SIP_URI.fullmatch(text.strip())
    try:
        if match:
            host = read_host_and_port(match["host"])
            return f"{match['start']}{host}{match['rest'] or ''}"
    except ValueError:
        pass
    raise _wrong(text, "must be a SIP URI such as sip:desk@pbx.example.com:5060")


def read_livekit_url(text: str) -> str:
    """The URL of a LiveKit server or Cloud project."""
    form = "must be of the form wss://project.livekit.cloud or ws://192.0.2.10:7880"
    url = _read_url(text, ("wss", "ws", "https", "http"), form)
    if url.endswith("/rtc"):
        raise _wrong(text, f"{form}, without /rtc")
    return url


def read_web_url(text: str) -> str:
    """An http or https URL, perhaps with a path."""
    return _read_url(text, ("https", "http"), "must be of the form https://host or https://host/v1")


def read_public_url(text: str) -> str:
    """The URL of this gateway for others, to which the paths of endpoints are added."""
    form = "must be of the form https://gateway.example.com"
    url = _read_url(text, ("https", "http"), form)
    if urlsplit(url).path.endswith(_ENDPOINTS):
        raise _wrong(text, f"{form}, without the path of an endpoint")
    return url


HISTORY_FORM = (
    "must be sqlite:///file, sqlite:////absolute/file, postgresql://[user:password@]host[:port]/"
    "database, or none; in a password / ? # @ % are written %2F %3F %23 %40 %25"
)
_HISTORY_URL = re.compile(r"sqlite:///(?P<file>[^?#]+)|postgres(?:ql)?://(?P<rest>[^/]+/[^/]+)")


def read_history_url(text: str) -> str:
    """The URL of the history's database; "" for `none`, as an empty variable counts as not set."""
    url = text.strip()
    if url == "none":
        return ""
    match = _HISTORY_URL.fullmatch(url)
    if not (match and url.isprintable()) or " " in (match["rest"] or "") or ":memory:" in url:
        raise ValueError(HISTORY_FORM)
    return f"postgresql://{match['rest']}" if match["rest"] else url


def _read_url(text: str, schemes: tuple[str, ...], form: str) -> str:
    """`text` without blanks and a trailing slash, its scheme and host in lower case."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        netloc = read_host_and_port(parts.netloc)
    except ValueError:
        raise _wrong(text, form) from None
    if parts.scheme not in schemes or set(url) & set("?# \\") or not url.isprintable():
        raise _wrong(text, form)
    return f"{parts.scheme}://{netloc.lower()}{parts.path}"


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except AddressValueError:
        return False
    return "%" not in text


def _is_host(host: str) -> bool:
    """Whether `host` is a name or an address; a name does not end in a number."""
    if host.startswith("["):
        return _is_ipv6(host[1:-1])
    if host.removesuffix(".").rpartition(".")[2].isdecimal():
        try:
            IPv4Address(host)
        except AddressValueError:
            return False
        return True
    return bool(_NAME.fullmatch(host))


def _wrong(text: str, form: str) -> ValueError:
    is_shown = text.isprintable() and not set(text) & set("@?")
    return ValueError(f"{form}, not {text!r}" if is_shown else form)
