"""Reads server-sent events: https://html.spec.whatwg.org/multipage/server-sent-events.html"""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """An event: its kind, its id ("" if it has none) and its text."""

    event: str
    id: str
    data: str


async def messages(lines: AsyncIterable[bytes]) -> AsyncIterator[Message]:
    """The events in the `lines` of a stream; comments and fields of other names are left out."""
    event, message_id, data = "", "", list[str]()
    async for line in lines:
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        name, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            if data:
                yield Message(event or "message", message_id, "\n".join(data))
            event, message_id, data = "", "", []
        elif name == "event":
            event = value
        elif name == "id":
            message_id = value
        elif name == "data":
            data.append(value)
