"""When a call has to be looked at next, and why. Pure."""

from collections.abc import Iterator
from enum import StrEnum

from gateway.calls.call import Call, CallStatus, Direction
from gateway.config.settings import Config

#: How long the caller's leg may outlive its agent, in ms: hang-ups of both cross on the way here.
AGENT_GRACE_MS = 2_000
#: How much longer than its ringing the outcome of a transfer is waited for, in ms.
TRANSFER_GRACE_MS = 10_000


class Due(StrEnum):
    """What may have to happen to a call at its deadline."""

    REPORT = "report"
    TRANSFER = "transfer"
    MAX_DURATION_REACHED = "max_duration_reached"
    NO_AGENT = "no_agent"
    AGENT_GONE = "agent_gone"
    EXPIRED = "expired"


class Deadlines:
    """Moments are ms since epoch, the first at which something is due."""

    def __init__(self, config: Config) -> None:
        self._agent_timeout = _ms(config.inbound.agent_timeout)
        self._registered_timeout = _ms(config.inbound.registered_timeout)
        self._transfer_patience = _ms(config.transfer.ringing_timeout) + TRANSFER_GRACE_MS
        self._report_timeout = _ms(config.callbacks.report_timeout)

    def next(self, call: Call) -> int | None:
        """When the call is due next; None once nothing more can become of it."""
        return min((moment for moment, _ in self._of(call)), default=None)

    def due(self, call: Call, now: int) -> Due | None:
        """What has been due the longest, if anything is."""
        passed = [(moment, what) for moment, what in self._of(call) if moment <= now]
        return min(passed)[1] if passed else None

    def _of(self, call: Call) -> Iterator[tuple[int, Due]]:
        if not call.is_active:
            if not call.report_settled:
                yield (call.end_timestamp or 0) + self._report_timeout, Due.REPORT
            return
        if call.transfer and call.is_transferring:
            yield call.transfer.started_at + self._transfer_patience + 1, Due.TRANSFER
            return
        if call.agent_absence:
            yield call.agent_absence.at + AGENT_GRACE_MS, Due.AGENT_GONE
        if call.call_status is CallStatus.ONGOING:
            answered = call.answer_timestamp or call.start_timestamp
            yield answered + _ms(call.max_call_duration) + 1, Due.MAX_DURATION_REACHED
            return
        # A call that is being dialed or rings already has the time it may ring.
        ringing = _ms(call.ringing_timeout) if call.call_status is CallStatus.RINGING else 0
        yield call.start_timestamp + self._registered_timeout + ringing + 1, Due.EXPIRED
        if call.direction is Direction.INBOUND and not call.agent_came:
            yield call.start_timestamp + self._agent_timeout + 1, Due.NO_AGENT


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
