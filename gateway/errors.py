"""What can go wrong, in our own words. Pure: no I/O, no imports from outside."""

from collections.abc import Mapping, Sequence
from typing import Any


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
        self, status: int, code: str, message: str, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details


class LiveKitError(GatewayError):
    """A request to LiveKit did not succeed."""


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


class LiveKitUnreachable(LiveKitError):
    """No answer from LiveKit within the deadline, or no connection at all."""
