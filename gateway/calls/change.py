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
        started, earlier = self.after.open_transfer, self.before.transfer if self.before else None
        return started is not None and (earlier is None or earlier.number != started.number)

    @property
    def transfer_ended(self) -> bool:
        was_open = self.before is not None and self.before.open_transfer is not None
        return was_open and self.after.open_transfer is None

    def _became(self, holds: Callable[[Call], bool]) -> bool:
        """Whether `holds` is true of the call after the event, and was not before."""
        return holds(self.after) and not (self.before is not None and holds(self.before))
