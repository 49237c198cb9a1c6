"""`calls export`: every call that is found, as JSON lines or CSV, to a file or standard output."""

import argparse
import csv
import io
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.tools.calls.pages import all_calls
from gateway.tools.calls.search import api_query
from gateway.tools.gateway_api import GatewayApi
from gateway.tools.terminal import Waiting

#: The columns of CSV: what is one value.
CSV_FIELDS = (
    "call_id",
    "direction",
    "call_status",
    "disconnection_reason",
    "from_number",
    "to_number",
    "agent_name",
    "account_code",
    "start_timestamp",
    "answer_timestamp",
    "end_timestamp",
    "duration_ms",
)


class NotWritten(GatewayError):
    """The file could not be written; the text says why."""


async def export(api: GatewayApi, arguments: argparse.Namespace) -> None:
    """Raises NotWritten; GatewayApi's errors. The file is there once it is complete."""
    query = api_query(arguments) | {"include": "ended"}
    count = 0
    with _output(arguments.output) as write, Waiting("exporting") as waiting:
        async for text in _lines(all_calls(api, query), arguments.format):
            write(text)
            count += 1
            waiting.update(f"{count} lines")


async def _lines(calls: AsyncIterator[Mapping[str, Any]], form: str) -> AsyncIterator[str]:
    if form == "csv":
        yield _csv_line(CSV_FIELDS)
    async for call in calls:
        if form == "csv":
            yield _csv_line([call[name] for name in CSV_FIELDS])
        else:
            yield json.dumps(call) + "\n"


def _csv_line(values: Any) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()


@contextmanager
def _output(file: str | None) -> Iterator[Callable[[str], object]]:
    """What writes to `file`, or to standard output. Raises NotWritten."""
    if file is None:
        yield sys.stdout.write
        return
    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    try:
        with open(part, "w", encoding="utf-8", newline="") as stream:
            yield stream.write
        os.replace(part, path)
    except OSError as error:
        raise NotWritten(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
