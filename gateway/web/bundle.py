"""Everything about a call for a ticket, as JSON: numbers masked, and nothing of what was said."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from aiohttp import web

from common.redaction import mask_fields
from gateway import __version__
from gateway.api.auth import VIEW
from gateway.api.endpoints import Request
from gateway.api.stored_call import stored_call
from gateway.calls.agent_report import entries, mapping
from gateway.errors import ErrorCode
from gateway.explanation.explain import explain
from gateway.logs import lost_lines
from gateway.web.live import LIVE
from gateway.web.page import Page

#: Of a transcript at most so many lines are in it.
MAX_LINES = 2_000


@Page(
    "GET",
    "/calls/{call_id}/debug.json",
    "Everything about a call for a ticket, without numbers and without what was said",
    authentication=VIEW,
    answers={200: {"type": "object"}},
    answer_type="application/json",
    raises=(ErrorCode.NOT_FOUND, ErrorCode.STORAGE_UNAVAILABLE),
)
async def debug_bundle(request: Request) -> web.Response:
    services = request.services
    call = await stored_call(request)
    overview = await request.http.app[LIVE].overviews.current()
    now, shown = services.clock(), redacted(call)
    content = {
        "made_at": now,
        "gateway": {
            "version": __version__,
            "strategy": services.config.inbound.strategy,
            "storage": "redis" if services.config.storage.url else "memory",
            **services.counters.view(),
            "refused": dict(services.limits.refused),
            "log_lines_lost": lost_lines(),
        },
        "health": [
            {"part": part.name, "status": part.status, "text": part.text} for part in overview.parts
        ],
        "explanation": explain(shown, now=now).as_json(),
        "call": shown,
    }
    name = f"call-debug-{request.call_id}.json"
    text = json.dumps(mask_fields(content), indent=2, default=str)
    return web.Response(
        text=text,
        content_type="application/json",
        headers={"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, safe='')}"},
    )


def redacted(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The call without what was said: of each line who spoke, when and how much."""
    report = dict(call.get("report") or {})
    report.pop("call_analysis", None)
    if report:
        said = entries(report, "transcript")[:MAX_LINES]
        report["transcript"] = [_shape(mapping(entry)) for entry in said]
    return {
        **call,
        "report": report or None,
        "call_analysis": None,
        "caller_name": "",
        "metadata": sorted(call.get("metadata") or {}),
    }


def _shape(content: Mapping[str, Any]) -> Mapping[str, Any]:
    known = ("at", "role", "interrupted", "name", "duration_ms", "ok")
    told = {name: content[name] for name in known if name in content}
    return {**told, "characters": len(str(content.get("text") or content.get("arguments") or ""))}
