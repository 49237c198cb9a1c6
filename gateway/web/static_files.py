"""The files under `static/`, by a path that changes with their content: browsers keep them."""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from aiohttp import web

from gateway.api.endpoints import Endpoint, Request
from gateway.errors import ApiError, ErrorCode

FOLDER = Path(str(files("gateway.web"))) / "static"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
#: A year; another content has another path.
_FOR_EVER = "public, max-age=31536000, immutable"


@cache
def contents() -> dict[str, bytes]:
    """The content of each file, by its name."""
    found = (path for path in sorted(FOLDER.iterdir()) if path.suffix in _TYPES)
    return {path.name: path.read_bytes() for path in found}


@cache
def version() -> str:
    """A hash over all files: a script may load its neighbours by a relative path."""
    digest = hashlib.sha256()
    for name, content in contents().items():
        digest.update(f"{name} {len(content)} ".encode() + content)
    return digest.hexdigest()[:16]


def static_url(name: str) -> str:
    """Where the file `name` is served; in templates `static("app.css")`. Raises KeyError."""
    contents()[name]  # a wrong name is a mistake in the template
    return f"/static/{version()}/{name}"


@Endpoint(
    "GET",
    "/static/{version}/{name}",
    "A script, a style or a picture of the page",
    authentication=None,
    answers={200: {"type": "string"}, 304: None},
    answer_type="text/plain",
    raises=(ErrorCode.NOT_FOUND,),
)
async def static_file(request: Request) -> web.Response:
    """Of another version the present content, not to be kept: gateways are replaced in turn."""
    name = request.http.match_info["name"]
    content = contents().get(name)
    if content is None:
        raise ApiError(ErrorCode.NOT_FOUND, "the page has no such file")
    is_current = request.http.match_info["version"] == version()
    headers = {
        "Content-Type": _TYPES[Path(name).suffix],
        "Cache-Control": _FOR_EVER if is_current else "no-cache",
        "ETag": f'"{version()}"',
        "X-Content-Type-Options": "nosniff",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if any(tag.value == version() for tag in request.http.if_none_match or ()):
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, headers=headers)
