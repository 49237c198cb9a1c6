"""`GET /openapi.json`: the endpoints as an OpenAPI 3.1 document."""

import json
from collections.abc import Sequence
from functools import cache

from aiohttp import web

from gateway.api.auth import READ
from gateway.api.endpoints import Endpoint, Request
from gateway.api.openapi import document


def with_openapi(endpoints: Sequence[Endpoint]) -> tuple[Endpoint, ...]:
    """`endpoints`, and the one that describes all of them, itself included."""

    @Endpoint(
        "GET",
        "/openapi.json",
        "This document",
        authentication=READ,
        answers={200: {"type": "object"}},
    )
    async def openapi(request: Request) -> web.Response:
        url = request.services.config.server.public_url.rstrip("/")
        return web.Response(text=text(url or "/"), content_type="application/json")

    described = (*endpoints, openapi)
    text = cache(lambda url: json.dumps(document(described, url)))
    return described
