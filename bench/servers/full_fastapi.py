"""What a call hook takes as one would write it in FastAPI: the gateway's work, and no more.

Jambonz's signature, a pydantic schema, a registry that recognises a repeated hook, the room with
its agent, a typed answer, a JSON log line.
"""

import hmac
import json
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from livekit import api
from pydantic import BaseModel, Field

from bench.servers.bare_fastapi import serve
from bench.servers.room import livekit, new_name, room

SECRET = os.environ["JAMBONZ_WEBHOOK_SECRET"].encode()
#: How old a signature may be, in s.
TOLERANCE = 300

log = logging.getLogger("bench")


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "timestamp": self.formatTime(record),
            **getattr(record, "fields", {}),
        }
        return json.dumps(fields)


class Sip(BaseModel):
    headers: dict[str, str] = {}


class CallHook(BaseModel):
    call_sid: Annotated[str, Field(min_length=1, max_length=128)]
    from_number: Annotated[str, Field(alias="from", max_length=300)] = ""
    to_number: Annotated[str, Field(alias="to", max_length=300)] = ""
    caller_name: Annotated[str, Field(max_length=300)] = ""
    account_sid: str = ""
    application_sid: str = ""
    call_id: str = ""
    call_status: str = ""
    direction: Literal["inbound", "outbound"] = "inbound"
    originating_sip_trunk_name: str = ""
    sip: Sip = Sip()
    env_vars: dict[str, str] = {}


class Target(BaseModel):
    type: Literal["sip"] = "sip"
    sip_uri: Annotated[str, Field(serialization_alias="sipUri")]


class Dial(BaseModel):
    verb: Literal["dial"] = "dial"
    answer_on_bridge: Annotated[bool, Field(serialization_alias="answerOnBridge")] = True
    action_hook: Annotated[str, Field(serialization_alias="actionHook")]
    headers: dict[str, str]
    target: list[Target]


@dataclass
class Call:
    call_id: str
    hook: CallHook
    timeline: list[tuple[float, str]] = field(default_factory=list)


@dataclass
class Registry:
    calls: dict[str, Call] = field(default_factory=dict)
    by_call_sid: dict[str, str] = field(default_factory=dict)

    def get_or_add(self, hook: CallHook) -> tuple[Call, bool]:
        """The call of the hook, and whether it is new."""
        if call_id := self.by_call_sid.get(hook.call_sid):
            return self.calls[call_id], False
        call = Call(new_name(), hook, [(time.time(), "registered")])
        self.calls[call.call_id] = call
        self.by_call_sid[hook.call_sid] = call.call_id
        return call, True


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with livekit() as app.state.livekit:
        app.state.registry = Registry()
        yield


app = FastAPI(lifespan=lifespan)


async def check_signature(
    request: Request, jambonz_signature: Annotated[str, Header()] = ""
) -> None:
    parts = dict(part.partition("=")[::2] for part in jambonz_signature.split(","))
    timestamp, body = parts.get("t", "0"), await request.body()
    expected = hmac.digest(SECRET, timestamp.encode() + b"." + body, "sha256").hex()
    is_fresh = timestamp.isdigit() and abs(time.time() - int(timestamp)) < TOLERANCE
    if not (is_fresh and hmac.compare_digest(expected, parts.get("v1", ""))):
        raise HTTPException(401, "the signature does not match")


def registry(request: Request) -> Registry:
    found: Registry = request.app.state.registry
    return found


def client(request: Request) -> api.LiveKitAPI:
    found: api.LiveKitAPI = request.app.state.livekit
    return found


@app.post("/livekit-api", dependencies=[Depends(check_signature)], response_model=list[Dial])
async def call_hook(
    hook: CallHook,
    calls: Annotated[Registry, Depends(registry)],
    livekit: Annotated[api.LiveKitAPI, Depends(client)],
) -> Any:
    call, is_new = calls.get_or_add(hook)
    if is_new:
        fields = {"call_id": call.call_id, "call_sid": hook.call_sid, "direction": hook.direction}
        log.info("call.registered", extra={"fields": fields})
        await livekit.room.create_room(room(call.call_id, hook.from_number, hook.to_number))
        call.timeline.append((time.time(), "room_created"))
    uri = f"sip:{call.call_id}@127.0.0.1;transport=tcp"
    headers = {"X-Call-Id": call.call_id, "X-Account-Code": hook.env_vars.get("ACCOUNT_CODE", "")}
    action_hook = f"/livekit-api/dial-action?call_id={call.call_id}"
    return [Dial(action_hook=action_hook, headers=headers, target=[Target(sip_uri=uri)])]


@app.get("/readyz")
async def ready() -> None: ...


if __name__ == "__main__":
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    serve(app)
