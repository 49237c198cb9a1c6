"""Every error the gateway raises, and every error code of its HTTP API. Does no I/O."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Any

from gateway.calls.outcomes import SipOutcome


class ErrorCode(StrEnum):
    """The `error` of an error response: its HTTP `status`, and when it is sent (`description`)."""

    status: int
    description: str

    def __new__(cls, code: str, status: int = 0, description: str = "") -> "ErrorCode":
        """`ErrorCode("not_found")` looks a code up; only members give status and description."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.description = description
        return member

    BAD_REQUEST = "bad_request", 400, "the request cannot be read as HTTP/1.1"
    UNREADABLE = "unreadable", 400, "the body is not encoded as its headers say"
    NOT_JSON = "not_json", 400, "the body is not JSON"
    NOT_AN_EVENT = "not_an_event", 400, "the body is not a LiveKit webhook event"
    BAD_REFER_TO = "bad_refer_to", 400, "the Refer-To is neither a telephone number nor a SIP URI"
    BAD_SIGNATURE = "bad_signature", 401, "the Jambonz-Signature is missing or wrong"
    BAD_BASIC_AUTH = "bad_basic_auth", 401, "the user name or the password is missing or wrong"
    UNAUTHORIZED = "unauthorized", 401, "the API key is missing or wrong"
    BAD_TOKEN = "bad_token", 401, "the token is missing, wrong, or signed for another body"
    ADDRESS_NOT_ALLOWED = (
        "address_not_allowed",
        403,
        "security.*_addresses does not list the client's address",
    )
    HOST_NOT_ALLOWED = (
        "host_not_allowed",
        403,
        "no authentication is configured, and Host or Origin is not this machine",
    )
    FORBIDDEN = "forbidden", 403, "the API key does not have the role"
    WEB_CALLS_OFF = "web_calls_off", 403, "web.calls is not set: no calls from the browser"
    CROSS_SITE = (
        "cross_site",
        403,
        "a session's cookie came with a request that the page of the gateway has not made",
    )
    DESTINATION_NOT_ALLOWED = (
        "destination_not_allowed",
        403,
        "outbound.allowed and outbound.denied do not permit the destination; `details` names it",
    )
    TRANSFER_NOT_ALLOWED = (
        "transfer_not_allowed",
        403,
        "transfer.allowed and outbound.denied do not permit the target",
    )
    NOT_FOUND = "not_found", 404, "the path, the call or the delivery does not exist"
    METHOD_NOT_ALLOWED = "method_not_allowed", 405, "the path takes the methods in the Allow header"
    TOO_SLOW = "too_slow", 408, "the body did not arrive within limits.read_timeout"
    IDEMPOTENCY_KEY_REUSED = (
        "idempotency_key_reused",
        409,
        "an earlier request had the same idempotency key and another body",
    )
    NOT_ONGOING = "not_ongoing", 409, "the call is not ongoing"
    TRANSFER_PENDING = "transfer_pending", 409, "the call is being transferred already"
    TOO_LARGE = "too_large", 413, "the body is larger than limits.max_body_bytes"
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        415,
        "the Content-Type is not application/json",
    )
    EXPECTATION_FAILED = "expectation_failed", 417, "the Expect header is not 100-continue"
    INVALID = "invalid", 422, "a field is missing or wrong; `details` names it"
    UPGRADE_REQUIRED = (
        "upgrade_required",
        426,
        "the request opens no WebSocket with the subprotocol ws.jambonz.org",
    )
    TOO_MANY_CALLS = (
        "too_many_calls",
        429,
        "outbound.max_active_calls or limits.max_active_calls is reached",
    )
    TOO_MANY_REQUESTS = (
        "too_many_requests",
        429,
        "the API key exceeds limits.dispatch_rate; or too many attempts to sign in to the page",
    )
    HEADERS_TOO_LARGE = (
        "headers_too_large",
        431,
        "the headers are larger than limits.max_header_bytes",
    )
    INTERNAL = "internal", 500, "the gateway has a defect; its log has the details"
    LIVEKIT_REFUSED = "livekit_refused", 502, "LiveKit or the carrier refused"
    NO_AGENT = "no_agent", 503, "no agent could be heard in the room in time; nobody was called"
    NO_TRUNK = "no_trunk", 503, "LiveKit has no outbound trunk"
    LIVEKIT_UNREACHABLE = "livekit_unreachable", 503, "LiveKit does not answer, or fails for now"
    OVERLOADED = "overloaded", 503, "the gateway serves as many requests as it may; try again"
    STORAGE_UNAVAILABLE = "storage_unavailable", 503, "storage does not answer; try again"
    NOT_ANSWERED = (
        "not_answered",
        504,
        "the callee did not answer, and LiveKit gave no SIP status",
    )


#: The codes whose responses have a Retry-After header where a repetition is safe.
RETRY_AFTER_CODES = frozenset(
    {
        ErrorCode.TOO_MANY_CALLS,
        ErrorCode.TOO_MANY_REQUESTS,
        ErrorCode.NO_AGENT,
        ErrorCode.LIVEKIT_UNREACHABLE,
        ErrorCode.OVERLOADED,
        ErrorCode.STORAGE_UNAVAILABLE,
    }
)


class GatewayError(Exception):
    """The root of everything the gateway raises on purpose; its text is written for a person.

    `call_id` is the call that was made before the error, "" if none was.
    """

    call_id = ""


class ConfigError(GatewayError):
    """The configuration cannot be used; each of `problems` is one line that says what to change."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ApiError(GatewayError):
    """An error response: `code` and its HTTP status, a message, `details` by field name.

    `retry_after` (s) becomes the Retry-After header. gateway/api/errors.py makes the response.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        return self.code.status


class StorageUnavailable(GatewayError):
    """Storage does not answer; the operation may or may not have been carried out."""


class StorageRefused(StorageUnavailable):
    """Storage answers, but rejects the gateway's credentials or rights: retrying does not help."""


class HistoryUnavailable(StorageUnavailable):
    """The history's database does not answer, or cannot be written."""


class LimitReached(GatewayError):
    """No call can be added: as many are active as may be."""


class RecordUnreadable(GatewayError):
    """A stored record is damaged or, if `is_newer`, in the format of a newer gateway."""

    def __init__(self, message: str, *, is_newer: bool = False) -> None:
        super().__init__(message)
        self.is_newer = is_newer


class LiveKitError(GatewayError):
    """A request to LiveKit failed.

    `is_unavailable` where the failure is LiveKit's own (no answer, or a 5xx): it says nothing
    about the room or the participant of the request. `may_pass` where the same request may succeed
    later, and `is_ambiguous` where LiveKit may have done what was requested.
    """

    is_unavailable = True
    may_pass = True
    is_ambiguous = True


#: 4xx by which LiveKit refuses for a while: Twirp's deadline_exceeded, resource_exhausted.
_MAY_PASS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
#: 4xx after which a dialed leg may ring all the same: deadline_exceeded, failed_precondition.
_AMBIGUOUS = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.PRECONDITION_FAILED})


#: What livekit-server puts before the errors of its other services.
_PREFIX = re.compile(r"(?:twirp error \w+: )+")
#: What may be an IP address, with or without a port, as Go writes it.
_MAYBE_ADDRESS = re.compile(
    r"(?<![\w.:])(?:\[(?P<six>[\w:.%]+)\]|(?P<four>\d+(?:\.\d+){3})|(?P<bare>\w*:[\w:.%]*\w))"
    r"(?::\d+)?"
)
ADDRESS = "[address]"


def in_plain_words(text: str) -> str:
    """An error's text from LiveKit or a carrier without Twirp's prefix and without IP addresses."""
    return _MAYBE_ADDRESS.sub(_hide_address, _PREFIX.sub("", text, count=1))


def _hide_address(match: re.Match[str]) -> str:
    try:
        ipaddress.ip_address((match["six"] or match["four"] or match["bare"]).partition("%")[0])
    except ValueError:
        return match[0]
    return ADDRESS


class LiveKitRefused(LiveKitError):
    """LiveKit answered with an error: its Twirp `code`, `message`, `meta` and HTTP `status`.

    `message` and `meta` are in plain words: they are shown to API clients and in timelines.
    """

    def __init__(
        self, code: str, message: str, *, status: int, meta: Mapping[str, str] | None = None
    ) -> None:
        self.code = code
        self.message = in_plain_words(str(message))
        self.status = status
        self.meta = {
            key: in_plain_words(str(value))
            for key, value in (meta or {}).items()
            if key != "error_details"  # the message and the SIP status once more, as base64
        }
        super().__init__(f"LiveKit refused: {self.message or code} ({code})")
        self.is_unavailable = status >= HTTPStatus.INTERNAL_SERVER_ERROR
        self.may_pass = self.is_unavailable or status in _MAY_PASS
        self.is_ambiguous = self.sip is None and (self.is_unavailable or status in _AMBIGUOUS)

    @property
    def has_no_sip(self) -> bool:
        """Whether LiveKit has no SIP: that needs Redis (livekit-server, pkg/service/sip.go)."""
        return "sip not connected" in self.message

    @property
    def sip(self) -> SipOutcome | None:
        """The final SIP response of the callee or the carrier, if that is why LiveKit refused."""
        status = self.meta.get("sip_status_code", "")
        if not status.isdecimal():
            return None
        return SipOutcome(int(status), self.meta.get("sip_status", ""))

    @property
    def reason(self) -> str:
        """The SIP response if there is one (`403 Forbidden auth ID`), else LiveKit's message."""
        if self.sip:
            return f"{self.sip.status} {self.sip.reason}".rstrip()
        return self.message or self.code


class LiveKitUnreachable(LiveKitError):
    """LiveKit did not answer within the timeout, or no connection could be made."""


class DialFailed(GatewayError):
    """A call was dialed, and failed with `cause`. To dial again may ring a telephone twice."""

    def __init__(self, cause: LiveKitRefused | ApiError, call_id: str) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.call_id = cause.call_id = call_id
