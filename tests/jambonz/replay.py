"""Replays calls of a live Jambonz, hook by hook, against a gateway.

Each file in `live/` is one call: its requests in order (`at_s` since the capture began, method and
URI, JSON body) and what the gateway then answered. Addresses are from documentation ranges, numbers
are reserved ones. `websocket.json` has only the hooks that came by HTTP.
"""

import json
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.jambonz import leg_token, urls
from gateway.jambonz.signature import sign
from tests.conftest import DISPATCH_KEY, WEBHOOK_SECRET, Client
from tests.fakes.livekit import SECRET
from tests.jambonz.schemas import HOOK_SCHEMAS

LIVE = Path(__file__).with_name("live")
NAMES = sorted(path.stem for path in LIVE.glob("*.json"))
_CALL_ID = re.compile(r"call-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True)
class LiveRequest:
    """One POST of a live call, `at_s` of its capture, and the recorded answer: status and JSON."""

    at_s: float
    uri: str
    body: Any
    recorded_status: int
    recorded_answer: Any

    @property
    def hook(self) -> str:
        """The path of Jambonz's hook, "" for a request of an API client."""
        path = self.uri.partition("?")[0]
        return path if path in HOOK_SCHEMAS else ""

    @property
    def recorded_verbs(self) -> Sequence[str]:
        return verb_names(self.recorded_answer)


def live_requests(name: str) -> Sequence[LiveRequest]:
    """The POST requests of the live call `name`, in order."""
    requests = []
    for entry in json.loads((LIVE / f"{name}.json").read_text()):
        method, uri = entry["request"].split()
        at_s, body, answer = entry["at_s"], entry["body"], entry["answer"]
        if method == "POST":
            requests.append(LiveRequest(at_s, uri, body, answer["status"], answer["body"]))
    return requests


def with_late_status_hooks(
    requests: Sequence[LiveRequest], rng: random.Random, *, lateness: float
) -> Sequence[LiveRequest]:
    """Each status hook comes up to `lateness` s late, so also after ones that were posted later.

    Jambonz posts them by themselves, and waits with the other hooks of a call for their answers.
    """

    def arrives(request: LiveRequest) -> float:
        late = request.hook == urls.CALL_STATUS_HOOK
        return request.at_s + (rng.uniform(0, lateness) if late else 0)

    return sorted(requests, key=arrives)


def verb_names(answer: Any) -> Sequence[str]:
    """The names of an answer's verbs; none for any other answer."""
    return [verb["verb"] for verb in answer] if isinstance(answer, list) else []


class Replay:
    """Posts the requests of a live call to `gateway`, under the call id that it assigns now."""

    def __init__(self, gateway: Client, requests: Sequence[LiveRequest]) -> None:
        self._gateway = gateway
        recorded = json.dumps([request.recorded_answer for request in requests])
        self._recorded_id = _first_call_id(recorded)
        #: The id of the call, "" before the call hook has been answered.
        self.call_id = ""

    async def post(self, request: LiveRequest) -> tuple[int, Any]:
        """Post `request`; returns the status and the JSON of the answer, None if it has none."""
        uri = self._with_assigned_id(request.uri)
        body = json.loads(self._with_assigned_id(json.dumps(request.body)))
        data = json.dumps(_with_token(body) if request.hook == urls.CALL_HOOK else body).encode()
        headers = {"Content-Type": "application/json"}
        if request.hook:
            headers["Jambonz-Signature"] = sign(data, WEBHOOK_SECRET, at=int(time.time()))
        else:
            headers["X-API-Key"] = DISPATCH_KEY
        async with self._gateway.post(uri, data=data, headers=headers) as response:
            text = await response.text()
        self.call_id = self.call_id or _first_call_id(text)
        return response.status, json.loads(text) if text else None

    def _with_assigned_id(self, text: str) -> str:
        return text.replace(self._recorded_id, self.call_id or self._recorded_id)


def _with_token(body: Any) -> Any:
    """A call hook; about LiveKit's leg it has the header that LiveKit sends now."""
    call_id = body["to"]
    if not _CALL_ID.fullmatch(call_id):
        return body
    token = {leg_token.HEADER: leg_token.leg_token(call_id, SECRET)}
    headers = {**body["sip"]["headers"], **token}
    return {**body, "sip": {**body["sip"], "headers": headers}}


def _first_call_id(text: str) -> str:
    match = _CALL_ID.search(text)
    return match[0] if match else ""
