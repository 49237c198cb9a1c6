"""What happens to calls, for those who listen now; what they missed for a moment is made up for."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from json import JSONEncoder
from typing import Protocol

from gateway.calls.call import Change
from gateway.calls.views import with_report

_compact = JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """`text` is JSON: `{"event", "call"}`; "" where something was missed that is not kept any more.

    `id` is what to come back with.
    """

    id: str
    text: str


class Feed(Protocol):
    def listen(self, after: str) -> AsyncIterator[FeedEntry]:
        """What happened after the news of that id, then what happens; "" for from now on."""


def feed_entry(change: Change) -> str:
    """What there is to tell of a change, as JSON; "" if nobody would see a difference."""
    event = event_of(change)
    return _compact({"event": event, "call": with_report(change.after)}) if event else ""


def event_of(change: Change) -> str:
    before, after = change.before, change.after
    if before is None:
        return "call_registered"
    if change.ended:
        return "call_ended"
    if before.transfer is not after.transfer:
        return "transfer_started" if after.is_transferring else "transfer_ended"
    if before.call_status is not after.call_status:
        return f"call_{after.call_status}"
    return "call_analyzed" if change.report_settled else ""
