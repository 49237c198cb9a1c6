"""`GET /`: today at a glance, the health of each part, and all calls, to search and to filter."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from marshmallow import fields, validate

from gateway.api.auth import VIEW
from gateway.api.endpoints import Request
from gateway.api.limits import Workload
from gateway.api.schemas.listing import Cursor, Moment, SearchText, write_cursor
from gateway.api.schemas.requests import RequestSchema
from gateway.calls.call import Direction
from gateway.calls.conversation import ConversationProblem
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.search import SHORTEST_SEARCH
from gateway.errors import ApiError, ErrorCode, StorageUnavailable
from gateway.history.directory import CallPage
from gateway.security.api_keys import Role
from gateway.storage.registry import CallFilter
from gateway.web.live import LIVE
from gateway.web.masking import visible
from gateway.web.page import Page, render

#: Calls on a page of the list: with 50 it has 60 KB.
PAGE_SIZE = 50


class CallsQuerySchema(RequestSchema):
    show = fields.String(load_default="all", validate=validate.OneOf(["all", "live"]))
    q = SearchText(load_default=None)
    direction = fields.Enum(Direction, by_value=True, load_default=None)
    reason = fields.Enum(DisconnectionReason, by_value=True, load_default=None)
    verdict = fields.Enum(ConversationProblem, by_value=True, load_default=None)
    since = Moment(load_default=None)
    until = Moment(load_default=None)
    cursor = Cursor(load_default=None)


@Page(
    "GET",
    "/",
    "All calls, today at a glance, the health of each part",
    authentication=VIEW,
    query=CallsQuerySchema(),
    answers={200: {"type": "string"}, 503: {"type": "string"}},
    answer_type="text/html",
    raises=(ErrorCode.FORBIDDEN,),
    workload=Workload.NEW_CALLS,
)
async def calls_page(request: Request) -> web.Response:
    query, live = request.query, request.http.app[LIVE]
    if query["q"] and not request.role.includes(Role.READ):
        raise ApiError(ErrorCode.FORBIDDEN, "a search by number needs an API key with role read")
    position = await live.position()
    page, problem = await _page(request)
    return render(
        request,
        "calls.html",
        status=503 if problem else 200,
        problem=problem,
        calls=[visible(call, request.role) for call in page.calls],
        is_complete=page.is_complete,
        overview=await live.overviews.current(),
        position=position,
        is_newest=query["cursor"] is None,
        query=request.http.query,
        older=_link(request, cursor=write_cursor(page.next)) if page.next else "",
        newest=_link(request, cursor=None),
        shown={show: _link(request, cursor=None, show=show) for show in ("all", "live")},
        reasons=list(DisconnectionReason),
        verdicts=list(ConversationProblem),
        shortest_search=SHORTEST_SEARCH,
    )


async def _page(request: Request) -> tuple[CallPage, str]:
    """The calls; without storage none, and why: the health of the parts is shown all the same."""
    calls, after = request.services.calls, request.query["cursor"]
    try:
        return await calls.page(_filter(request.query), limit=PAGE_SIZE, after=after), ""
    except StorageUnavailable as error:
        return CallPage((), None), str(error)


def _filter(query: Mapping[str, Any]) -> CallFilter:
    return CallFilter(
        search=query["q"],
        direction=query["direction"],
        disconnection_reason=query["reason"],
        verdict=query["verdict"],
        since=query["since"],
        until=query["until"],
        include_ended=query["show"] == "all",
    )


def _link(request: Request, **changes: str | None) -> str:
    """The page with other values in its query; None leaves one out."""
    values = {**request.http.query, **changes}
    query = urlencode({name: value for name, value in values.items() if value})
    return f"/?{query}" if query else "/"
