"""A search on the command line: as a query of the API, and held against an event's call. Pure."""

import argparse
from collections.abc import Mapping
from typing import Any

from gateway.calls.search import searched

#: Options that the API filters by, by the name it has for them.
_FIELDS = {
    "direction": "direction",
    "status": "status",
    "reason": "disconnection_reason",
    "verdict": "verdict",
    "query": "q",
    "from_number": "from_number",
    "to_number": "to_number",
    "agent_name": "agent_name",
    "account_code": "account_code",
    "since": "since",
    "until": "until",
}
#: Options with which active calls alone would not be an answer.
_OF_ENDED = ("all", "reason", "verdict", "query", "since", "until", "idempotency_key")


def api_query(arguments: argparse.Namespace) -> dict[str, str]:
    """The query string of an export: that of a list lacks `include`, limit and cursor."""
    given = {name: getattr(arguments, option) for option, name in _FIELDS.items()}
    return {name: str(value) for name, value in given.items() if value is not None}


def list_query(arguments: argparse.Namespace) -> dict[str, str]:
    """The query string of `GET /livekit-api/calls`, without limit and cursor."""
    key = arguments.idempotency_key
    return (
        api_query(arguments)
        | ({"include": "ended"} if has_ended(arguments) else {})
        | ({"idempotency_key": key} if key else {})
    )


def has_ended(arguments: argparse.Namespace) -> bool:
    """Whether the list that is asked for has ended calls, too."""
    return any(getattr(arguments, option) for option in _OF_ENDED)


def matches(call: Mapping[str, Any], arguments: argparse.Namespace) -> bool:
    """Whether the API would list `call`, as far as `watch` can be asked to filter."""
    exact = ("direction", "agent_name", "account_code")
    return (
        all(getattr(arguments, name) in {None, call[name]} for name in exact)
        and arguments.status in {None, call["call_status"]}
        and arguments.reason in {None, call["disconnection_reason"]}
        and arguments.verdict in {None, (call.get("conversation") or {}).get("verdict")}
        and _same(arguments.from_number, call["from_number"])
        and _same(arguments.to_number, call["to_number"])
        and _contains(call, arguments.query)
    )


def _same(wanted: str | None, number: str) -> bool:
    return wanted is None or searched(wanted) == searched(number)


def _contains(call: Mapping[str, Any], text: str | None) -> bool:
    wanted = searched(text or "")
    names = ("call_id", "from_number", "to_number")
    return any(wanted in searched(str(call[name])) for name in names)
