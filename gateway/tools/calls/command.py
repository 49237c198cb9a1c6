"""`python -m gateway calls`: one function for each action. Prints text, or JSON with --json."""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import aiohttp

from gateway.config.loader import CLIENT_ENV_FILES, environment, load_config, own_keys
from gateway.errors import GatewayError
from gateway.tools import columns
from gateway.tools.calls.details import call_text
from gateway.tools.calls.export import export
from gateway.tools.calls.pages import found_call, listed_calls
from gateway.tools.calls.rows import COLUMNS, call_row, state
from gateway.tools.calls.search import has_ended, list_query
from gateway.tools.calls.watch import watch
from gateway.tools.doctor.web import cause_of_failure, host_of
from gateway.tools.gateway_api import NOT_RUNNING, GatewayApi
from gateway.tools.terminal import WIDTH, Waiting, has_colours, printable, width_of

Action = Callable[[GatewayApi, argparse.Namespace], Awaitable[None]]


class NotReached(GatewayError):
    """There was no answer; the text says why, and what to do."""


def run(action: str, arguments: argparse.Namespace) -> int:
    """The command; returns 0. Raises GatewayError."""
    config = load_config(arguments.config, env_files=CLIENT_ENV_FILES)
    keys = own_keys(config, environment(CLIENT_ENV_FILES))
    url = arguments.url or config.own_url

    async def act() -> None:
        async with GatewayApi.opened(url, keys) as api:
            await _ACTIONS[action](api, arguments)

    try:
        asyncio.run(act())
    except KeyboardInterrupt:
        if action != "watch":
            raise
    except TimeoutError as error:
        raise NotReached(f"{host_of(url)} does not answer in time; {NOT_RUNNING}") from error
    except aiohttp.ClientError as error:
        raise NotReached(f"{cause_of_failure(url, error)}; {NOT_RUNNING}") from error
    return 0


async def _list(api: GatewayApi, arguments: argparse.Namespace) -> None:
    with Waiting("listing calls") as waiting:
        listing = await listed_calls(api, list_query(arguments), arguments.limit, waiting.update)
    if arguments.json:
        _print_json(listing)
        return
    _print_table(listing["calls"])
    more = ", and there are more: --limit" if listing["next_cursor"] else ""
    if not listing["calls"] and not has_ended(arguments):
        more = " (ended ones: --all)"
    print(f"{len(listing['calls'])} listed{more}; {listing['active']} active", file=sys.stderr)
    if not listing["is_complete"]:
        print("gateway: the history does not answer, so calls may be missing", file=sys.stderr)


def _print_table(calls: list[Mapping[str, Any]]) -> None:
    if not calls:
        return
    now, width = datetime.now().astimezone(), width_of(sys.stdout)
    for is_short in (False, True):
        rows = [call_row(call, now, is_short=is_short) for call in calls]
        natural = columns.natural_widths(COLUMNS, rows)
        widths = columns.fitted(COLUMNS, natural, width)
        if widths == natural:
            break
    print(columns.heading(COLUMNS, widths))
    for row in rows:
        shown = row if has_colours(sys.stdout) else columns.Row(row.cells)
        print(columns.line(COLUMNS, widths, shown))


async def _show(api: GatewayApi, arguments: argparse.Namespace) -> None:
    with Waiting("asking for the call"):
        call = await found_call(api, arguments.call)
    if arguments.json:
        _print_json(call)
    else:
        width = min(width_of(sys.stdout) or WIDTH, WIDTH)
        print(call_text(call, datetime.now().astimezone(), width))


async def _hang_up(api: GatewayApi, arguments: argparse.Namespace) -> None:
    with Waiting("hanging up"):
        call_id = (await found_call(api, arguments.call))["call_id"]
        call = await api.hang_up(call_id)
    _print_result(call, arguments)


async def _transfer(api: GatewayApi, arguments: argparse.Namespace) -> None:
    body = {"target": arguments.target, "kind": arguments.kind, "summary": arguments.summary}
    with Waiting("transferring"):
        call_id = (await found_call(api, arguments.call))["call_id"]
        call = await api.transfer(call_id, body)
    _print_result(call, arguments)


def _print_result(call: Mapping[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.json:
        _print_json(call)
        return
    transfer = call["transfer"]
    to = f", transferred to {transfer['target']}" if transfer else ""
    print(printable(f"{call['call_id']}: {state(call)}{to}"))


def _print_json(content: Mapping[str, Any]) -> None:
    print(json.dumps(content, indent=2))


_ACTIONS: Mapping[str, Action] = {
    "list": _list,
    "show": _show,
    "watch": watch,
    "hangup": _hang_up,
    "transfer": _transfer,
    "export": export,
}
