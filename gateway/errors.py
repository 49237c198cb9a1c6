"""What can go wrong, in our own words. Pure: no I/O, no imports from outside.

A refusal carries an HTTP status because one place turns it into an answer, see web/middlewares.py.
"""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from gateway.calls.call import SipOutcome


class GatewayError(Exception):
    """The root of everything the gateway raises on purpose; its text is written for a person."""


class ConfigError(GatewayError):
    """The configuration cannot be used; `problems` has one line each, saying what to change."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


class ApiError(GatewayError):
    """A request is answered with this HTTP `status` and `{"error", "message", "details"}`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.status = status
        self.code = code
        self.message = message
        self.details = details


class StorageUnavailable(GatewayError):
    """Where calls are kept cannot be reached; what was asked for may or may not have been done."""


class StorageRefused(StorageUnavailable):
    """It answers, and does not let us in: that will not mend itself."""


class LiveKitError(GatewayError):
    """A request to LiveKit did not succeed.

    `is_away` where that says nothing of what was asked for: LiveKit is in no state to answer.
    """

    is_away = True


class LiveKitRefused(LiveKitError):
    """LiveKit answered, and said no: its Twirp `code`, `message`, `meta` and HTTP `status`."""

    def __init__(
        self, code: str, message: str, *, status: int, meta: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"LiveKit refused: {message or code} ({code})")
        self.code = code
        self.message = message
        self.status = status
        self.meta = dict(meta or {})
        self.is_away = status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def sip(self) -> SipOutcome | None:
        """The SIP answer of the far end, if one was the reason."""
        status = self.meta.get("sip_status_code", "")
        if not status.isdecimal():
            return None
        return SipOutcome(int(status), self.meta.get("sip_status", ""))

    @property
    def told(self) -> str:
        """In the carrier's words where there are any (`403 Forbidden auth ID`), else LiveKit's."""
        if self.sip:
            return f"{self.sip.status} {self.sip.reason}".rstrip()
        return self.message or self.code


class LiveKitUnreachable(LiveKitError):
    """No answer from LiveKit within the deadline, or no connection at all."""
