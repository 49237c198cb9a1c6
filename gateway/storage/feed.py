"""The live feed: changes of calls for clients that listen, and the last of them for a replay."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec

from gateway.calls.change import Change
from gateway.calls.views import with_report

_encode = msgspec.json.Encoder().encode


class FeedEvent(StrEnum):
    """The `event` of a feed entry."""

    CALL_REGISTERED = "call_registered"
    CALL_RINGING = "call_ringing"
    CALL_ONGOING = "call_ongoing"
    TRANSFER_STARTED = "transfer_started"
    TRANSFER_ENDED = "transfer_ended"
    CALL_ENDED = "call_ended"
    CALL_ANALYZED = "call_analyzed"


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """`text` is the JSON `{"event", "call"}`, or "" where entries are missing: they have expired.

    A client that reconnects sends the `id` of its last entry.
    """

    id: str
    text: str


class Feed(Protocol):
    async def listen(self, after: str) -> AsyncIterator[FeedEntry]:
        """The entries after the one with the id `after`, then new ones; "" is for new ones only.

        Never ends. This and each entry raise StorageUnavailable.
        """


def feed_entry(change: Change) -> str:
    """The entry's text; "" for a change that no client would see."""
    event = event_of(change)
    return _encode({"event": event, "call": with_report(change.after)}).decode() if event else ""


def event_of(change: Change) -> FeedEvent | None:
    before, after = change.before, change.after
    if before is None:
        return FeedEvent.CALL_REGISTERED
    if change.ended:
        return FeedEvent.CALL_ENDED
    if change.transfer_started:
        return FeedEvent.TRANSFER_STARTED
    if change.transfer_ended:
        return FeedEvent.TRANSFER_ENDED
    # What the agent corrects of an end is in CALL_ANALYZED, which follows.
    if after.is_active and before.call_status is not after.call_status:
        return FeedEvent(f"call_{after.call_status}")
    return FeedEvent.CALL_ANALYZED if change.report_settled else None
