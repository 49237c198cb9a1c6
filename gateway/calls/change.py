"""What one event has changed in a call. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from gateway.calls.call import Call


@dataclass(frozen=True, slots=True)
class Change:
    """A call before and after one event; `before` is None for a new call."""

    before: Call | None
    after: Call

    @property
    def answered(self) -> bool:
        return self._became(lambda call: call.answer_timestamp is not None)

    @property
    def ended(self) -> bool:
        return self._became(lambda call: not call.is_active)

    @property
    def report_settled(self) -> bool:
        return self._became(lambda call: call.report_settled)

    @property
    def transfer_started(self) -> bool:
        transfer, earlier = self.after.transfer, self.before.transfer if self.before else None
        is_new = earlier is None or transfer is None or earlier.number != transfer.number
        return transfer is not None and transfer.is_open and is_new

    @property
    def transfer_ended(self) -> bool:
        earlier = self.before.transfer if self.before else None
        was_open = earlier is not None and earlier.is_open
        return was_open and self.after.transfer is not None and not self.after.transfer.is_open

    def _became(self, holds: Callable[[Call], bool]) -> bool:
        """Whether `holds` is true of the call after the event, and was not before."""
        return holds(self.after) and not (self.before is not None and holds(self.before))
