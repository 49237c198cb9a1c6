"""Signs requests by Standard Webhooks (standardwebhooks.com)."""

import base64
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

#: What a setting must have where `is_secret()` is false.
REQUIRED_FORM = "each must be whsec_ and at least 24 bytes in base64"


def is_secret(text: str) -> bool:
    """Whether `text` is long enough and encoded as Standard Webhooks requires."""
    try:
        return len(base64.b64decode(text.removeprefix("whsec_") + "==")) >= 24
    except ValueError:
        return False


class Signer:
    """`secrets` are such that `is_secret()` holds."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._webhooks = [Webhook(secret) for secret in secrets]

    def headers(self, message_id: str, body: str) -> dict[str, str]:
        """The request's id, time and signatures; without secrets no signature.

        There is a signature for each secret; a receiver accepts any that it can verify.
        """
        now = datetime.now(UTC)
        headers = {"webhook-id": message_id, "webhook-timestamp": str(int(now.timestamp()))}
        if self._webhooks:
            signatures = (webhook.sign(message_id, now, body) for webhook in self._webhooks)
            headers["webhook-signature"] = " ".join(signatures)
        return headers
