"""Signs requests by Standard Webhooks (standardwebhooks.com)."""

from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook


class Signer:
    """Raises ValueError for a secret that is not base64."""

    def __init__(self, secrets: Sequence[str]) -> None:
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
