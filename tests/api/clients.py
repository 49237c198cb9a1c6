"""The credentials of each client group."""

import base64
import hashlib
import time

from livekit import api

from gateway.jambonz.signature import sign
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET
from tests.fakes.livekit import KEY, SECRET


def credentials_for(path: str, body: bytes) -> dict[str, str]:
    """Headers that authenticate a request with `body` to the endpoint at `path`."""
    if path.startswith("/livekit/") or path.endswith("/report"):
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        return {"Authorization": api.AccessToken(KEY, SECRET).with_sha256(digest).to_jwt()}
    signature = sign(body, WEBHOOK_SECRET, at=int(time.time()))
    return {"Jambonz-Signature": signature, "X-API-Key": DISPATCH_KEY}
