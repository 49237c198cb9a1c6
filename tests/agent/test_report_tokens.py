"""The tokens of an agent's reports: which ones the gateway accepts, and why it refuses others."""

import base64
import hashlib
import time
from collections.abc import Callable

import jwt
import pytest

from gateway.config.settings import KeyPair
from gateway.livekit.webhooks import AuthenticationFailed, WebhookVerifier
from tests.agent.test_shared_json import reporter_for, verify
from tests.agent.worker_settings import KEY, SECRET


def bearer(key: str, secret: str, body: bytes) -> str:
    return f"Bearer {reporter_for('', key=key, secret=secret)._token(body)}"


def token(secret: str = SECRET, **claims: object) -> str:
    """A token whose claims are those of a report, except `claims`."""
    digest = base64.b64encode(hashlib.sha256(b"{}").digest()).decode()
    now = int(time.time())
    standard = {"iss": KEY, "exp": now + 60, "nbf": now, "sha256": digest}
    return f"Bearer {jwt.encode({**standard, **claims}, secret)}"


@pytest.mark.field("H9")
@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        # Signed when the test runs: a minute later a token is not valid for another reason.
        (lambda: None, "the Authorization header is missing"),
        (lambda: "Bearer nonsense", "no token that can be read"),
        (lambda: bearer(KEY, "x" * 32, b"{}"), "another secret than LIVEKIT_API_SECRET"),
        (lambda: bearer("other", SECRET, b"{}"), "another key than LIVEKIT_API_KEY"),
        (lambda: bearer(KEY, SECRET, b"{ }"), "made for another body"),
        (token, ""),
        (lambda: token(sha256=""), "no hash of a body"),
        (lambda: token(exp=int(time.time()) - 4000), "expired: set the clocks"),
        (lambda: token(nbf=int(time.time()) + 4000), "not valid yet: set the clocks"),
    ],
)
def test_a_refused_token_is_refused_for_what_is_wrong_with_it(
    authorization: Callable[[], str | None], why: str
) -> None:
    verifier = WebhookVerifier([KeyPair(KEY, SECRET)])
    header = authorization()
    if not why:
        verify(verifier, header)
        return
    with pytest.raises(AuthenticationFailed, match=why) as caught:
        verify(verifier, header)
    assert (header or "Bearer eyJ").removeprefix("Bearer ") not in str(caught.value)


def test_a_previous_key_is_accepted_while_keys_are_rotated() -> None:
    verifier = WebhookVerifier([KeyPair(KEY, SECRET), KeyPair("previous", "y" * 32)])
    for key, secret in ((KEY, SECRET), ("previous", "y" * 32)):
        verify(verifier, bearer(key, secret, b"{}"))
    for key, secret in ((KEY, "y" * 32), ("previous", SECRET), ("next", "y" * 32)):
        with pytest.raises(AuthenticationFailed, match=r"another (secret|key)"):
            verify(verifier, bearer(key, secret, b"{}"))
