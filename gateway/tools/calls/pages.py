"""The list of calls page by page, and a call by the beginning of its id."""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from gateway.errors import GatewayError
from gateway.tools.gateway_api import GatewayApi, Query, UnexpectedResponse

#: Calls of one page at most, as the API has it.
PAGE = 200
#: How many calls are named where the beginning of an id is not enough.
_NAMED = 5


class NotOneCall(GatewayError):
    """No call has an id that begins so, or several have."""


async def listed_calls(
    api: GatewayApi, query: Query, limit: int, report: Callable[[str], object]
) -> Mapping[str, Any]:
    """As a page of the API, with up to `limit` calls of as many pages as that takes."""
    calls: list[Mapping[str, Any]] = []
    page: Mapping[str, Any] = {}
    is_complete = True
    while len(calls) < limit:
        more = {"limit": str(min(PAGE, limit - len(calls)))}
        page = await api.calls({**query, **more, **_after(page)})
        calls += page["calls"]
        is_complete = is_complete and page["is_complete"]
        report(f"{len(calls)} so far")
        if page["next_cursor"] is None:
            break
    return {**page, "calls": calls, "is_complete": is_complete}


def _after(page: Mapping[str, Any]) -> Query:
    cursor = page.get("next_cursor")
    return {"cursor": cursor} if cursor else {}


async def found_call(api: GatewayApi, text: str) -> Mapping[str, Any]:
    """The call whose id is `text`, or alone begins with it. Raises NotOneCall."""
    try:
        return await api.call(text)
    except UnexpectedResponse as error:
        if error.status != 404:
            raise
        not_found = error
    page = await api.calls({"q": text, "include": "ended", "limit": str(PAGE)})
    ids = [call["call_id"] for call in page["calls"] if call["call_id"].startswith(text)]
    match ids:
        case [call_id]:
            return await api.call(call_id)
        case []:
            raise NotOneCall(f"no call has the id {text!r}, or one that begins so") from not_found
    named = ", ".join(islice(ids, _NAMED))
    raise NotOneCall(f"{len(ids)} calls have an id that begins with {text!r}: {named}")
