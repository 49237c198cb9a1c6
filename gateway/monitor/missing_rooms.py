"""Calls whose rooms LiveKit does not list, and when that proves that they have ended.

LiveKit keeps its list in Redis. If that restarts without its data people talk on in rooms that are
not listed any more, for as long as their conversation lasts (livekit-server 1.13.5).
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass

from gateway.calls.call import Call

#: How long a room must be missing, in ms; LiveKit is asked at least twice.
CONFIRMED_AFTER_MS = 10_000
#: How long a call whose agent talks on outlives a list that has lost all rooms at once, in ms.
HELD_FOR_MS = 300_000


@dataclass(frozen=True, slots=True)
class _Missing:
    """Since when, in ms since epoch; whether no call's room was listed then, and of how many."""

    since: int
    all_at_once: bool
    calls: int


class MissingRooms:
    """`clock` in ms since epoch."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._missing: dict[str, _Missing] = {}

    def note(self, call_ids: Sequence[str], rooms: Container[str]) -> list[str]:
        """Note whose rooms are missing; returns those that are missing for long enough."""
        now = self._clock()
        missing = [call_id for call_id in call_ids if call_id not in rooms]
        all_at_once = len(missing) == len(call_ids)
        for call_id in call_ids:
            if call_id in rooms:
                self._missing.pop(call_id, None)
        for call_id in missing:
            self._missing.setdefault(call_id, _Missing(now, all_at_once, len(missing)))
        return [it for it in missing if now - self._missing[it].since >= CONFIRMED_AFTER_MS]

    def forget(self, *, all_but: Container[str]) -> None:
        """Drop the calls that are over."""
        self._missing = {it: value for it, value in self._missing.items() if it in all_but}

    def is_proof(self, call: Call) -> bool:
        """Whether the missing room of a noted call proves that it has ended.

        Where all rooms vanished at once the agent's word counts more: it has not left, and either
        it reports to the gateway, or several calls would have ended in the same moment.
        """
        missing = self._missing[call.call_id]
        has_agent = call.agent_came and call.agent_absence is None
        is_in_doubt = missing.all_at_once and (call.agent_reports or missing.calls > 1)
        if not (is_in_doubt and has_agent):
            return True
        return self._clock() - missing.since >= HELD_FOR_MS
