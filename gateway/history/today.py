"""Today's calls at a glance: how many, how they ended, and how soon the agent was heard. Pure."""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.calls.conversation import ConversationProblem

#: The problems of a conversation in which the caller heard silence.
SILENT = frozenset({ConversationProblem.SILENT_AGENT, ConversationProblem.NO_CONVERSATION})


@dataclass(frozen=True, slots=True)
class Today:
    """Calls that began since `since` (ms since epoch); `active` is how many there are now.

    `answered`, `reasons` (of the ends), `silent` (the caller heard silence) and the median time to
    the agent's first audio, in ms, are about those that have `ended`.
    """

    since: int
    calls: int
    active: int
    ended: int
    answered: int
    reasons: Mapping[str, int]
    silent: int
    first_audio_p50_ms: int | None


def midnight(now: int) -> int:
    """When the day of `now` began in this machine's time zone; both in ms since epoch."""
    day = datetime.fromtimestamp(now / 1000).astimezone()
    return int(day.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000)


def count(calls: Iterable[Mapping[str, Any]], *, since: int, active: int) -> Today:
    """The counts of `calls`, each as `views.listed()` shows it."""
    calls = list(calls)
    ended = [call for call in calls if call["end_timestamp"] is not None]
    conversations = [it for call in ended if (it := call["conversation"])]
    first_audio = [ms for it in conversations if (ms := it["first_audio_ms"]) is not None]
    return Today(
        since=since,
        calls=len(calls),
        active=active,
        ended=len(ended),
        answered=sum(call["answer_timestamp"] is not None for call in ended),
        reasons=dict(Counter(str(call["disconnection_reason"]) for call in ended)),
        silent=sum(not SILENT.isdisjoint(it["problems"]) for it in conversations),
        first_audio_p50_ms=round(statistics.median(first_audio)) if first_audio else None,
    )
