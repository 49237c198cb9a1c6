"""`calls watch`: the changes of calls as they happen, continued after a lost connection."""

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import aiohttp

from gateway.tools import columns
from gateway.tools.calls.rows import SHORT_ID, colour_of, state, when
from gateway.tools.calls.search import matches
from gateway.tools.columns import Column, Row
from gateway.tools.gateway_api import GatewayApi, UnexpectedResponse
from gateway.tools.server_sent_events import Message
from gateway.tools.terminal import has_colours, printable, width_of

#: Pauses between attempts to connect again, in s: each is twice the one before.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0
MISSED = "missed"

_COLUMNS = (
    Column("time", 8),
    Column("call", SHORT_ID),
    Column("event", 16),
    Column("from", 12, rank=1),
    Column("to", 12, rank=2),
    Column("state", 18, is_coloured=True),
)
#: What the cells of a line need, as a rule: no later line is known yet. Ids are whole or short.
_WIDTHS = (8, 41, 16, 16, 16, 20)
_SHORT_WIDTHS = (8, SHORT_ID, *_WIDTHS[2:])


async def watch(api: GatewayApi, arguments: argparse.Namespace) -> None:
    """Print each change, until the task is cancelled. Raises as GatewayApi for the first attempt.

    Notices go to standard error, so that standard output has changes alone.
    """
    show = _print_json if arguments.json else _print_line
    async for message in changes(api, _notice):
        if message.event == MISSED:
            _notice("some changes are no longer there; `gateway calls list` has the calls' state")
            if arguments.json:
                print(json.dumps({"event": MISSED}), flush=True)
            continue
        content = json.loads(message.data)
        if matches(content["call"], arguments):
            show(content)


async def changes(
    api: GatewayApi,
    notice: Callable[[str], object],
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> AsyncIterator[Message]:
    """The events of the stream, and of those that continue it after it was lost.

    Raises as GatewayApi does for the first stream, and for what no further attempt would change.
    """
    last_id, pause, has_begun = "", FIRST_PAUSE, False
    while True:
        try:
            async with api.events(last_id) as stream:
                if has_begun and not last_id:  # nothing says where to continue
                    yield Message(MISSED, "", "{}")
                has_begun, pause = True, FIRST_PAUSE
                async for message in stream:
                    last_id = message.id or last_id
                    yield message
            notice("the gateway has ended the stream")
        except UnexpectedResponse as error:
            if error.status < 500 or not has_begun:
                raise
            notice(f"the gateway {error}")
        except (aiohttp.ClientError, TimeoutError) as error:
            if not has_begun:
                raise
            notice(f"the connection is lost: {error or type(error).__name__}")
        await sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)


def _notice(text: str) -> None:
    print(f"gateway: {text}", file=sys.stderr, flush=True)


def _print_json(content: Mapping[str, Any]) -> None:
    print(json.dumps(content), flush=True)


def _print_line(content: Mapping[str, Any]) -> None:
    print(change_line(content, width_of(sys.stdout), in_colour=has_colours(sys.stdout)), flush=True)


def change_line(content: Mapping[str, Any], width: int | None, *, in_colour: bool) -> str:
    """An event of the stream as a line of at most `width`."""
    call, now = content["call"], datetime.now().astimezone()
    at = round(now.timestamp() * 1000)
    widths = columns.fitted(_COLUMNS, _WIDTHS, width)
    is_short = widths != list(_WIDTHS)
    if is_short:
        widths = columns.fitted(_COLUMNS, _SHORT_WIDTHS, width)
    cells = (
        when(at, now),
        call["call_id"][:SHORT_ID] if is_short else call["call_id"],
        content["event"],
        call["from_number"] or "unknown",
        call["to_number"] or "unknown",
        state(call),
    )
    row = Row([printable(str(cell)) for cell in cells], colour_of(call) if in_colour else "")
    return columns.line(_COLUMNS, widths, row)
