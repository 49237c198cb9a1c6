"""The credentials of each client group."""

import time

from gateway.jambonz.signature import sign
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET
from tests.fakes.webhooks import authorization


def credentials_for(path: str, body: bytes) -> dict[str, str]:
    """Headers that authenticate a request with `body` to the endpoint at `path`."""
    if path.startswith("/livekit/") or path.endswith("/report"):
        return {"Authorization": authorization(body)}
    signature = sign(body, WEBHOOK_SECRET, at=int(time.time()))
    return {"Jambonz-Signature": signature, "X-API-Key": DISPATCH_KEY}
