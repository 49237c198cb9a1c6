"""One callback on its way to one URL: what was tried, what came back, what is next. Pure."""

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

from gateway.security.callback_urls import without_query

#: The longest pause between two tries, in s.
LONGEST_BACKOFF = 60.0
#: A Wait node of n8n answers 409 while it is not waiting yet, and for ever once it is through.
CONFLICT_LIMIT = 60.0


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one try brought: a status, or the `error` that kept one from coming. Times in s."""

    status: int | None
    error: str = ""
    retry_after: float | None = None

    @property
    def is_accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


@dataclass(slots=True)
class Delivery:
    """Mutable: a delivery is the outbox's own. Moments in ms since epoch."""

    delivery_id: str
    call_id: str
    event: str
    event_id: str
    url: str
    body: str
    created_at: int
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    last_attempt_at: int | None = None
    last_status: int | None = None
    last_error: str = ""
    pending_since: int = 0

    @property
    def chain(self) -> str:
        """What it belongs to: one call's callbacks to one URL arrive in their order."""
        return f"{self.call_id}:{self.delivery_id.rpartition('_')[2]}"

    @property
    def is_pending(self) -> bool:
        return self.status is DeliveryStatus.PENDING

    def record_attempt(self, answer: Answer, at: int, *, give_up_after: float) -> None:
        """One more try was made."""
        self.attempts += 1
        self.last_attempt_at = at
        self.last_status = answer.status
        self.last_error = answer.error
        if answer.is_accepted:
            self.status = DeliveryStatus.DELIVERED
        elif self._should_give_up(at, give_up_after):
            self.status = DeliveryStatus.FAILED

    def backoff(self, answer: Answer) -> float:
        """How long to wait before the next try, in s, before jitter."""
        doubled: float = 2.0 ** min(self.attempts - 1, 10)
        return min(max(doubled, answer.retry_after or 0.0), LONGEST_BACKOFF)

    def reset(self, at: int) -> None:
        """Somebody asked to try once more."""
        self.status = DeliveryStatus.PENDING
        self.pending_since = at

    def dump(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        content = json.loads(text)
        return cls(**content | {"status": DeliveryStatus(content["status"])})

    def view(self) -> dict[str, object]:
        return {
            "delivery_id": self.delivery_id,
            "event": self.event,
            "event_id": self.event_id,
            "url": without_query(self.url),
            "status": self.status,
            "attempts": self.attempts,
            "created_at": self.created_at,
            "last_attempt_at": self.last_attempt_at,
            "last_status": self.last_status,
            "last_error": self.last_error,
        }

    def _should_give_up(self, at: int, give_up_after: float) -> bool:
        waited = (at - self.pending_since) / 1000
        limit = min(give_up_after, CONFLICT_LIMIT) if self.last_status == 409 else give_up_after
        return self.last_status == 410 or waited >= limit
