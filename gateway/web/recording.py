"""The recording of a call, where the gateway can read the folder into which workers put them."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from gateway.api.auth import READ
from gateway.api.endpoints import Request
from gateway.errors import ApiError, ErrorCode
from gateway.web.page import Page


@dataclass(frozen=True, slots=True)
class Recording:
    """What a report says about the recording; `path` if the gateway can read it.

    `url` is without its query, which may be a key; `error` is why it is not whole, or not there.
    """

    file: str = ""
    url: str = ""
    error: str = ""
    duration_ms: int | None = None
    path: Path | None = None


async def recording_of(call: Mapping[str, Any], folder: str) -> Recording | None:
    """The recording of the call; None without one. `folder` is `web.recordings`."""
    about = (call.get("report") or {}).get("recording")
    if not isinstance(about, Mapping):
        return None
    file, duration = str(about.get("file") or ""), about.get("duration_ms")
    return Recording(
        file,
        str(about.get("url") or ""),
        str(about.get("error") or "")[:500],
        duration if isinstance(duration, int) else None,
        await asyncio.to_thread(_readable, file, folder, str(call["call_id"])),
    )


def _readable(file: str, folder: str, call_id: str) -> Path | None:
    """The file, if it is this call's and below the folder: what a worker reports is not trusted."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", call_id).lstrip(".")
    if not (file and folder and re.fullmatch(re.escape(name) + r"(-\d+)?\.ogg", Path(file).name)):
        return None
    try:
        path, root = Path(file).resolve(strict=True), Path(folder).resolve(strict=True)
    except (OSError, ValueError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None


@Page(
    "GET",
    "/calls/{call_id}/recording",
    "The recording of a call",
    authentication=READ,
    answers={200: {"type": "string"}, 206: {"type": "string"}},
    answer_type="audio/ogg",
    raises=(ErrorCode.NOT_FOUND, ErrorCode.STORAGE_UNAVAILABLE),
)
async def recording(request: Request) -> web.StreamResponse:
    """Answers parts of it, too: a player goes to a place without loading what is before."""
    call = await request.services.calls.get(request.call_id)
    found = await recording_of(call or {}, request.services.config.web.recordings)
    if found is None or found.path is None:
        message = f"the gateway has no recording of the call {request.call_id}"
        raise ApiError(ErrorCode.NOT_FOUND, message)
    return web.FileResponse(found.path, headers={"Content-Type": "audio/ogg"})
