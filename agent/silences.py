"""When an agent is not heard though it should be, as its job's signs of life tell. Pure."""

from dataclasses import dataclass

from agent.heartbeat import Beat

#: From how long on a silence is reported, in s.
REPORTED_FROM = 5.0
#: Silences of a job at most: each is reported twice, and is a line in the call's timeline.
MAX_SILENCES = 10

STOOD_STILL = "its process stood still"
MUTE = "it sent no audio"


@dataclass(frozen=True, slots=True)
class Silence:
    """`since` by the clock of `JobSilences`; `duration` so far, or in all; both in s."""

    since: float
    duration: float
    why: str


class JobSilences:
    """Of one job: each is reported once it has lasted REPORTED_FROM, and when it has ended."""

    def __init__(self) -> None:
        self._current: Silence | None = None
        self._reported = 0

    @property
    def is_silent(self) -> bool:
        """Whether a silence has been reported and has not ended."""
        return self._current is not None

    def look(self, beat: Beat | None, now: float) -> Silence | None:
        """What is to be reported now; to be called often. `beat`: None after the conversation."""
        silence = _silence(beat, now) if beat else None
        current = self._current
        if current is None:
            if silence and self._reported < MAX_SILENCES:
                self._current = silence
                self._reported += 1
            return self._current
        if silence:
            return None
        self._current = None
        ended = beat.at if beat and current.why == STOOD_STILL else now
        return Silence(current.since, ended - current.since, current.why)


def _silence(beat: Beat, now: float) -> Silence | None:
    if now - beat.at >= REPORTED_FROM:
        return Silence(beat.at, now - beat.at, STOOD_STILL)
    if beat.mute_since is not None and now - beat.mute_since >= REPORTED_FROM:
        return Silence(beat.mute_since, now - beat.mute_since, MUTE)
    return None
