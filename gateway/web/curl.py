"""An endpoint as a command line to copy. Pure."""

import json
import re
import shlex
from collections.abc import Iterator

from gateway.api.reference import Operation


def curl(operation: Operation, url: str) -> str:
    """The command; "" for what curl cannot send: a callback, a signed token, a WebSocket."""
    schemes = set(operation.schemes)
    is_socket = "101" in operation.responses
    if not operation.path or is_socket or "livekitToken" in schemes:
        return ""
    return " \\\n  ".join(_parts(operation, url))


def _parts(operation: Operation, url: str) -> Iterator[str]:
    path = re.sub(r"{(\w+)}", lambda match: _variable(match[1]), operation.path)
    needed = [it.name for it in operation.parameters if it.where == "query" and it.is_required]
    query = "?" + "&".join(f"{name}={_variable(name)}" for name in needed) if needed else ""
    method = f"-X {operation.method} " if _needs_method(operation) else ""
    unbuffered = "-N " if "text/event-stream" in _media_types(operation) else ""
    yield f'curl {unbuffered}{method}"{url}{path}{query}"'
    if "apiKey" in operation.schemes:
        yield '-H "X-API-Key: $API_KEY"'
    if "jambonzBasicAuth" in operation.schemes:
        yield '-u "$JAMBONZ_WEBHOOK_AUTH"'
    if operation.body:
        yield '-H "Content-Type: application/json"'
        if operation.body.example is not None:
            yield f"-d {shlex.quote(json.dumps(operation.body.example, ensure_ascii=False))}"


def _variable(name: str) -> str:
    """What stands for a value in the shell that runs the command."""
    return f"${name.upper()}"


def _needs_method(operation: Operation) -> bool:
    """A body makes curl POST by itself."""
    by_itself = "POST" if operation.body and operation.body.example is not None else "GET"
    return operation.method != by_itself


def _media_types(operation: Operation) -> set[str]:
    return {message.media_type for message in operation.responses.values() if message}
