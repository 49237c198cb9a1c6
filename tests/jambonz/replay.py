"""Calls as a live Jambonz posted them, hook by hook, replayed against a gateway.

Each file in `live/` is one call: every request in its order (`at_s` in the capture, method and URI,
JSON body) and the answer of the gateway then. Addresses are from documentation ranges, numbers are
reserved ones; nothing else is changed. `websocket.json` has only what came by HTTP.
"""

import json
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.jambonz.signature import sign
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET, Client
from tests.jambonz.schemas import HOOK_SCHEMAS

LIVE = Path(__file__).with_name("live")
NAMES = sorted(path.stem for path in LIVE.glob("*.json"))
_CALL_ID = re.compile(r"call-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class LiveRequest:
    """One request of the capture; `hook` is the path of Jambonz's hook, "" for an ops request."""

    method: str
    uri: str
    body: Any
    answer: Any

    @property
    def hook(self) -> str:
        path = self.uri.partition("?")[0]
        return path if path in HOOK_SCHEMAS and self.method == "POST" else ""

    @property
    def changes_the_call(self) -> bool:
        return self.method == "POST"


def captured(name: str) -> Sequence[LiveRequest]:
    """The requests of one live call."""
    content = json.loads((LIVE / f"{name}.json").read_text())
    requests = []
    for entry in content:
        method, uri = entry["request"].split()
        requests.append(LiveRequest(method, uri, entry["body"], entry["answer"]))
    return requests


class Replay:
    """One live call against `gateway`, under the call id that the gateway gives it now."""

    def __init__(self, gateway: Client, requests: Sequence[LiveRequest]) -> None:
        self._gateway = gateway
        self._recorded_id = next(_call_ids(requests))
        self.call_id = ""

    async def post(self, request: LiveRequest) -> tuple[int, Any]:
        """Send `request`; the status and the JSON of the answer, None where it has none."""
        uri = self._translated(request.uri)
        data = self._translated(json.dumps(request.body)).encode()
        headers = {"Content-Type": "application/json"}
        if request.hook:
            headers["Jambonz-Signature"] = sign(data, WEBHOOK_SECRET, at=int(time.time()))
        else:
            headers["X-API-Key"] = DISPATCH_KEY
        async with self._gateway.post(uri, data=data, headers=headers) as response:
            text = await response.text()
        answer = json.loads(text) if text else None
        if not self.call_id and (found := _CALL_ID.search(text)):
            self.call_id = found[0]
        return response.status, answer

    def _translated(self, text: str) -> str:
        """`text` with the call id of the capture replaced by the new one."""
        return text.replace(self._recorded_id, self.call_id or self._recorded_id)


def _call_ids(requests: Sequence[LiveRequest]) -> Iterator[str]:
    for request in requests:
        yield from _CALL_ID.findall(json.dumps(request.answer))
