"""The bare handler in FastAPI, on uvicorn with uvloop and httptools."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI, Request

from bench.servers.room import livekit, new_name, room, verbs


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with livekit() as app.state.livekit:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/livekit-api")
async def call_hook(request: Request) -> list[dict[str, Any]]:
    hook, name = await request.json(), new_name()
    await request.app.state.livekit.room.create_room(room(name, hook["from"], hook["to"]))
    return verbs(name)


@app.get("/readyz")
async def ready() -> None: ...


def serve(app: FastAPI) -> None:
    uvicorn.run(app, port=int(os.environ["PORT"]), access_log=False, log_level="warning")


if __name__ == "__main__":
    serve(app)
