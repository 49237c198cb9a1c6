"""A bare aiohttp handler that makes the gateway's CreateRoom request and nothing else: the floor.

It uses livekit-api as its documentation does, which signs a token for each request; with
`--shared-token` all requests share one, as in the gateway.
"""

import os
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from livekit import api

from bench.servers.room import livekit, new_name, room, verbs


async def on_call(request: web.Request) -> web.Response:
    hook, name = await request.json(), new_name()
    await request.app["livekit"].room.create_room(room(name, hook["from"], hook["to"]))
    return web.json_response(verbs(name))


async def ready(request: web.Request) -> web.Response:
    return web.Response()


async def signed_once(app: web.Application) -> AsyncIterator[None]:
    url, key, secret = (os.environ[f"LIVEKIT_{name}"] for name in ("URL", "API_KEY", "API_SECRET"))
    token = api.AccessToken(key, secret).with_grants(api.VideoGrants(room_create=True)).to_jwt()
    async with aiohttp.ClientSession() as session:
        app["livekit"] = api.LiveKitAPI.with_token(token, url, session=session)
        yield


async def signed_each_time(app: web.Application) -> AsyncIterator[None]:
    async with livekit() as app["livekit"]:
        yield


def main() -> None:
    app = web.Application()
    app.router.add_post("/livekit-api", on_call)
    app.router.add_get("/readyz", ready)
    app.cleanup_ctx.append(signed_once if "--shared-token" in sys.argv else signed_each_time)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]), print=None, access_log=None)


if __name__ == "__main__":
    main()
