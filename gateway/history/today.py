"""Today's calls at a glance: how many, how they ended, and how soon the agent was heard. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from gateway.calls.conversation import ConversationProblem

#: The problems of a conversation in which the caller heard silence.
SILENT = frozenset({ConversationProblem.SILENT_AGENT, ConversationProblem.NO_CONVERSATION})


@dataclass(frozen=True, slots=True)
class Counts:
    """Calls that have ended; `first_audio` is how often the agent was first heard after so many ms.

    `reasons` are those of their ends. `silent`: the caller heard silence.
    """

    ended: int
    answered: int
    silent: int
    reasons: Counter[str]
    first_audio: Counter[int]

    @classmethod
    def of(cls, calls: Iterable[Mapping[str, Any]]) -> Self:
        """Of `calls` as `views.listed()` shows them; active ones do not count."""
        ended = [call for call in calls if call["end_timestamp"] is not None]
        conversations = [it for call in ended if (it := call["conversation"])]
        heard = (it["first_audio_ms"] for it in conversations)
        return cls(
            ended=len(ended),
            answered=sum(call["answer_timestamp"] is not None for call in ended),
            silent=sum(not SILENT.isdisjoint(it["problems"]) for it in conversations),
            reasons=Counter(str(call["disconnection_reason"]) for call in ended),
            first_audio=Counter(ms for ms in heard if ms is not None),
        )

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            ended=self.ended + other.ended,
            answered=self.answered + other.answered,
            silent=self.silent + other.silent,
            reasons=self.reasons + other.reasons,
            first_audio=self.first_audio + other.first_audio,
        )

    @property
    def first_audio_p50_ms(self) -> int | None:
        """The median; of an even number the lower one of both in the middle."""
        position = (self.first_audio.total() + 1) // 2
        for ms in sorted(self.first_audio):
            position -= self.first_audio[ms]
            if position <= 0:
                return ms
        return None


@dataclass(frozen=True, slots=True)
class Today:
    """Calls that began since `since` (ms since epoch); `active` is how many there are now.

    `answered`, `reasons`, `silent` and the median of the agent's first audio are about those that
    have `ended`. `is_complete`: the history has answered, or there is none.
    """

    since: int
    calls: int
    active: int
    ended: int
    answered: int
    reasons: Mapping[str, int]
    silent: int
    first_audio_p50_ms: int | None
    is_complete: bool


def today(
    counts: Counts, *, since: int, active: int, began_today: int, is_complete: bool = True
) -> Today:
    """`began_today` is how many of the active calls began since `since`."""
    return Today(
        since=since,
        calls=counts.ended + began_today,
        active=active,
        ended=counts.ended,
        answered=counts.answered,
        reasons=dict(counts.reasons),
        silent=counts.silent,
        first_audio_p50_ms=counts.first_audio_p50_ms,
        is_complete=is_complete,
    )


def midnight(now: int) -> int:
    """When the day of `now` began in this machine's time zone; both in ms since epoch."""
    day = datetime.fromtimestamp(now / 1000).astimezone()
    return int(day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)
