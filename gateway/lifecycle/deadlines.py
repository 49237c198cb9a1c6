"""The next deadline of a call, and what is due then. Pure."""

from collections.abc import Iterator
from enum import StrEnum
from functools import partial

from gateway.calls.call import Call, CallStatus
from gateway.calls.outcomes import TransferKind
from gateway.config.settings import Config

#: How long a call may go on without its agent, in ms: both sides may hang up at the same time, and
#: then the caller's own event arrives within this time.
AGENT_GRACE_MS = 2_000
#: How long after the caller's leg has left, in ms, a call goes on that was not answered, or whose
#: caller may be back by another leg: what Jambonz or the dial says of the end is more exact.
CALLER_GRACE_MS = 2_000
#: How long after a warm transfer began LiveKit is asked whether its target has answered, in ms;
#: it is asked again with each check of the deadlines.
WARM_TRANSFER_MS = 1_000
#: How long after transfer.ringing_timeout the outcome of a transfer may arrive, in ms.
TRANSFER_GRACE_MS = 10_000
#: How long the target of an announced transfer may listen and think, in ms: the longest summary is
#: spoken in 70 s.
ANNOUNCEMENT_MS = 90_000


class Due(StrEnum):
    """What is due at a deadline; gateway/monitor/deadline_loop.py does it."""

    REPORT = "report"
    TRANSFER = "transfer"
    MAX_DURATION_REACHED = "max_duration_reached"
    NO_AGENT = "no_agent"
    AGENT_ABSENT = "agent_absent"
    CALLER_ABSENT = "caller_absent"
    WARM_TRANSFER = "warm_transfer"
    EXPIRED = "expired"


def transfer_timeout(config: Config, kind: TransferKind) -> int:
    """How long the outcome of a transfer may take, in ms."""
    announcement = ANNOUNCEMENT_MS if kind is TransferKind.ANNOUNCED else 0
    return _ms(config.transfer.ringing_timeout) + announcement + TRANSFER_GRACE_MS


class Deadlines:
    """Deadlines of calls under `config`, in ms since epoch."""

    def __init__(self, config: Config) -> None:
        self._agent_timeout = _ms(config.inbound.agent_timeout)
        self._registered_timeout = _ms(config.inbound.registered_timeout)
        self._transfer_timeout = partial(transfer_timeout, config)
        self._report_timeout = _ms(config.callbacks.report_timeout)

    def next(self, call: Call) -> int | None:
        """The call's next deadline; None for a call that is over and reported."""
        return min((deadline for deadline, _ in self._deadlines(call)), default=None)

    def due(self, call: Call, now: int) -> Due | None:
        """What has been due the longest at `now`, if anything is due."""
        passed = [(deadline, due) for deadline, due in self._deadlines(call) if deadline <= now]
        # A warm transfer stays due until its target answers; it holds up nothing else.
        first = min(passed, key=lambda it: (it[1] is Due.WARM_TRANSFER, it[0]), default=None)
        return first[1] if first else None

    def _deadlines(self, call: Call) -> Iterator[tuple[int, Due]]:
        if not call.is_active:
            if not call.report_settled:
                yield (call.end_timestamp or 0) + self._report_timeout, Due.REPORT
            return
        if call.transfer and call.is_transferring:
            timeout = self._transfer_timeout(call.transfer.kind)
            yield call.transfer.started_at + timeout + 1, Due.TRANSFER
            return
        if transfer := call.open_transfer:
            yield transfer.started_at + WARM_TRANSFER_MS, Due.WARM_TRANSFER
        if call.caller_absence:
            yield call.caller_absence.at + CALLER_GRACE_MS, Due.CALLER_ABSENT
        if call.agent_absence:
            yield call.agent_absence.at + AGENT_GRACE_MS, Due.AGENT_ABSENT
        if call.call_status is CallStatus.ONGOING:
            answered_at = call.answer_timestamp or call.start_timestamp
            yield answered_at + _ms(call.max_call_duration) + 1, Due.MAX_DURATION_REACHED
            return
        # A call that rings is given its ringing time in addition.
        ringing = _ms(call.ringing_timeout) if call.call_status is CallStatus.RINGING else 0
        yield call.start_timestamp + self._registered_timeout + ringing + 1, Due.EXPIRED
        if call.is_from_jambonz and not call.agent_came:
            yield call.start_timestamp + self._agent_timeout + 1, Due.NO_AGENT


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
