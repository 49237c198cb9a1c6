"""`GET /calls/{call_id}`: one call, from its hook to its callbacks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from gateway.api.auth import VIEW
from gateway.api.endpoints import Request
from gateway.api.stored_call import stored_call
from gateway.calls.outcomes import TransferKind
from gateway.errors import ErrorCode
from gateway.explanation.explain import Explanation, explain
from gateway.web.chart import chart_of
from gateway.web.live import LIVE
from gateway.web.masking import visible
from gateway.web.page import Page, render
from gateway.web.recording import recording_of
from gateway.web.transcript import transcript_of

#: Of JSON that is shown as it is at most so many characters.
MAX_JSON = 20_000
#: Of a report these are shown in another place.
_ELSEWHERE = frozenset({"transcript", "call_analysis", "turns", "unanswered", "mute", "stalls"})


@dataclass(frozen=True, slots=True)
class Moment:
    """An event of the call in words; `after` is in ms since the call began."""

    at: int
    after: int
    text: str


@Page(
    "GET",
    "/calls/{call_id}",
    "One call: its timeline, what was said, why it ended",
    authentication=VIEW,
    answers={200: {"type": "string"}},
    answer_type="text/html",
    raises=(ErrorCode.NOT_FOUND, ErrorCode.STORAGE_UNAVAILABLE),
)
async def call_page(request: Request) -> web.Response:
    services, live = request.services, request.http.app[LIVE]
    position = await live.position()
    found = await stored_call(request)
    call, now = visible(found, request.role), services.clock()
    explanation, transcript = explain(call, now=now), transcript_of(call["report"])
    return render(
        request,
        "call.html",
        call=call,
        position=position,
        explanation=explanation,
        moments=_moments(call, explanation),
        chart=chart_of(call, transcript.lines, now=now),
        transcript=transcript,
        recording=await recording_of(call, services.config.web.recordings),
        analysis=_pairs(call["call_analysis"]),
        report=_text({k: v for k, v in (call["report"] or {}).items() if k not in _ELSEWHERE}),
        metadata=_text(call["metadata"]),
        transfer_kinds=list(TransferKind),
    )


def _moments(call: Mapping[str, Any], explanation: Explanation) -> Sequence[Moment]:
    start = call["start_timestamp"]
    return [
        Moment(entry["at"], entry["at"] - start, step.text)
        for entry, step in zip(call["timeline"], explanation.timeline, strict=True)
    ]


def _pairs(content: Mapping[str, Any] | None) -> Sequence[tuple[str, str]]:
    """Names and values as text, what is nested as JSON."""
    return [
        (str(name)[:100], value[:MAX_JSON] if isinstance(value, str) else _text(value))
        for name, value in list((content or {}).items())[:50]
    ]


def _text(value: Any) -> str:
    """`value` as JSON, cut where it is very long; "" for nothing."""
    if not value and not isinstance(value, bool | int):
        return ""
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return text[:MAX_JSON] + (" […]" if len(text) > MAX_JSON else "")
