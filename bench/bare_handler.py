"""A bare aiohttp handler that makes the gateway's CreateRoom request and nothing else.

It is the reference for the gateway's CPU and reads the same environment. It uses livekit-api as its
documentation does, which signs a token for each request; with `--shared-token` all requests share
one, as in the gateway.
"""

import json
import os
import sys
import uuid
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from livekit import api
from livekit.protocol.agent_dispatch import RoomAgentDispatch
from livekit.protocol.room import CreateRoomRequest


async def on_call(request: web.Request) -> web.Response:
    hook = await request.json()
    name = f"call-{uuid.uuid4()}"
    metadata = json.dumps({"caller_number": hook["from"], "destination": hook["to"]})
    room = CreateRoomRequest(
        name=name,
        metadata=metadata,
        agents=[RoomAgentDispatch(agent_name="bench", metadata=metadata)],
        empty_timeout=60,
    )
    await request.app["livekit"].room.create_room(room)
    uri = f"sip:{name}@127.0.0.1"
    return web.json_response([{"verb": "dial", "target": [{"type": "sip", "sipUri": uri}]}])


async def ready(request: web.Request) -> web.Response:
    return web.Response()


async def livekit(app: web.Application) -> AsyncIterator[None]:
    url, key, secret = (os.environ[f"LIVEKIT_{name}"] for name in ("URL", "API_KEY", "API_SECRET"))
    async with aiohttp.ClientSession() as session:
        if "--shared-token" in sys.argv:
            token = api.AccessToken(key, secret).with_grants(api.VideoGrants(room_create=True))
            app["livekit"] = api.LiveKitAPI.with_token(token.to_jwt(), url, session=session)
        else:
            app["livekit"] = api.LiveKitAPI(url, key, secret, session=session)
        yield


def main() -> None:
    app = web.Application()
    app.router.add_post("/livekit-api", on_call)
    app.router.add_get("/readyz", ready)
    app.cleanup_ctx.append(livekit)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)


main()
