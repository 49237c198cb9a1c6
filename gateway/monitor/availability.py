"""Whether LiveKit has been available for a while: just after an outage its lists are incomplete."""

from collections.abc import Callable

#: For so long after LiveKit was unavailable its lists prove no end of a call, in ms: participants
#: join their rooms again, and new agents come (0.2 s after a restart of livekit-server 1.13.5).
SETTLING_MS = 10_000


class Availability:
    """`clock` in ms, from any moment."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._failed_at: int | None = None
        self._has_missed = False

    def failed(self) -> None:
        """LiveKit has not answered a request and its repetitions, or with an error of its own."""
        self._failed_at = self._clock()

    def missed(self) -> None:
        """The same of a request that is not repeated: one is no outage, two without an answer are.

        If one were, a LiveKit that often fails would keep calls alive for ever.
        """
        if self._has_missed:
            self.failed()
        self._has_missed = True

    def answered(self) -> None:
        """LiveKit has answered a request that is not repeated."""
        self._has_missed = False

    @property
    def is_settled(self) -> bool:
        """Whether what LiveKit does not list is not there."""
        return self._failed_at is None or self._clock() - self._failed_at > SETTLING_MS
