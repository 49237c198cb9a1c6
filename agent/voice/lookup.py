"""Asks an endpoint of the operator's about an inbound call, before the agent greets the caller."""

import json
import logging

from agent.context import CallContext
from agent.profiles.options import LookupAnswer, OptionsInvalid, read_lookup
from agent.profiles.profile import Lookup
from agent.voice.requests import RequestFailed, Requests, call_view
from common.urls import without_query

logger = logging.getLogger("agent.lookup")


async def look_up(lookup: Lookup, call: CallContext, requests: Requests) -> LookupAnswer | None:
    """What the endpoint says; None, and a log line that says why, without a usable answer in time.

    Never raises, and takes `lookup.timeout` at most: the caller hears ringing meanwhile.
    """
    try:
        text = await requests.post(
            lookup.url,
            {"call": call_view(call)},
            message_id=f"{call.call_id}-lookup",
            headers=lookup.headers,
            timeout=lookup.timeout,
        )
        return _read(text)
    except (RequestFailed, OptionsInvalid) as error:
        fields = {"url": without_query(lookup.url), "error": str(error)}
        logger.warning("lookup.failed", extra=fields)
        return None


def _read(text: str) -> LookupAnswer:
    """Raises RequestFailed, OptionsInvalid."""
    if not text:
        raise RequestFailed("the answer is empty")
    try:
        return read_lookup(json.loads(text))
    except (json.JSONDecodeError, RecursionError) as error:
        kind = "HTML" if text.startswith("<") else "no JSON"
        raise RequestFailed(f"the answer is {kind}") from error
