"""`calls export`: every call that is found, as JSON lines or CSV, to a file or standard output."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.errors import GatewayError
from gateway.tools.calls.search import api_query
from gateway.tools.gateway_api import GatewayApi
from gateway.tools.terminal import Waiting


class NotWritten(GatewayError):
    """The file could not be written; the text says why."""


async def export(api: GatewayApi, arguments: argparse.Namespace) -> None:
    """Raises NotWritten; GatewayApi's errors. The file is there once it is complete."""
    size = 0
    with _output(arguments.output) as write, Waiting("exporting") as waiting:
        async with api.export(arguments.format, api_query(arguments)) as pieces:
            async for piece in pieces:
                write(piece)
                size += len(piece)
                waiting.update(f"{size / 1e6:.1f} MB")


@contextmanager
def _output(file: str | None) -> Iterator[Callable[[bytes], object]]:
    """What writes to `file`, or to standard output. Raises NotWritten."""
    if file is None:
        yield sys.stdout.buffer.write
        sys.stdout.flush()
        return
    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    try:
        with open(part, "wb") as stream:
            yield stream.write
        os.replace(part, path)
    except OSError as error:
        raise NotWritten(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
