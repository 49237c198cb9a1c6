"""The `Jambonz-Signature` header: signs and verifies bodies of hooks. Pure.

The header is `t=<unix seconds>,v1=<hex>`, where hex is HMAC-SHA256(secret, "<t>." + body) of the
exact bytes sent (jambonz-feature-server `lib/utils/requestor.js`; @jambonz/sdk tolerates 300 s).
"""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass


class SignatureError(Exception):
    """The header does not authenticate the body; the text says why, without any secret."""


def sign(body: bytes, secret: str, *, at: int) -> str:
    """The value of the header for `body`, signed `at` (unix seconds)."""
    return f"t={at},v1={_digest(body, secret, str(at))}"


@dataclass(frozen=True, slots=True)
class Signature:
    """A header that may sign a body: its `timestamp` (unix seconds) and its digests."""

    timestamp: str
    digests: tuple[str, ...]

    def check(self, body: bytes, secrets: Iterable[str]) -> None:
        """Check that it signs `body` with one of `secrets`: several while one is rotated.

        Raises SignatureError.
        """
        expected = [_digest(body, secret, self.timestamp) for secret in secrets]
        # All pairs are compared, so that the time taken does not depend on which one matches.
        matches = [hmac.compare_digest(a, b) for a in expected for b in self.digests]
        if not any(matches):
            raise SignatureError(
                "the signature was made with another secret than JAMBONZ_WEBHOOK_SECRET, which "
                "must be the account's webhook secret, or for another body: no proxy may change it"
            )


def read(header: str | None, *, now: float, tolerance: float) -> Signature:
    """The signature in `header`, which anyone could have written: it has yet to be checked.

    `now` in unix seconds; the header's time may differ by `tolerance` s. Raises SignatureError.
    """
    if not header:
        raise SignatureError(
            "the Jambonz-Signature header is missing: Jambonz sends it once the account has a "
            "webhook secret, and a proxy must pass it on"
        )
    timestamp, digests = _parse(header)
    age = now - int(timestamp)
    if abs(age) > tolerance:
        side = "behind" if age > 0 else "ahead of"
        raise SignatureError(
            f"the signature's time is {abs(age):.0f} s {side} this machine's clock "
            f"(security.signature_tolerance is {tolerance:g} s): set both clocks by NTP"
        )
    return Signature(timestamp, digests)


def _parse(header: str) -> tuple[str, tuple[str, ...]]:
    pairs = [part.strip().partition("=")[::2] for part in header.split(",", 8)]
    timestamps = [value for key, value in pairs if key == "t"]
    digests = tuple(value for key, value in pairs if key == "v1" and value.isascii())
    if len(timestamps) != 1 or not digests:
        raise SignatureError("the Jambonz-Signature header is not of the form t=…,v1=…")
    (timestamp,) = timestamps
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureError("t of the Jambonz-Signature header is not a time in unix seconds")
    return timestamp, digests


def _digest(body: bytes, secret: str, timestamp: str) -> str:
    signed = timestamp.encode() + b"." + body
    return hmac.digest(secret.encode(), signed, "sha256").hex()
