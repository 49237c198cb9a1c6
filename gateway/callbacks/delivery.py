"""One callback to one URL: its attempts, when it has failed, and the pause before a retry. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from common.urls import origin_of, without_query

#: The longest pause between two attempts, in s, unless the receiver asks for a longer one.
LONGEST_BACKOFF = 60.0
#: How long a 409 is retried, in s. n8n's Wait node answers it before it waits, which passes, and
#: after it was resumed, which does not.
CONFLICT_LIMIT = 60.0


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one attempt: an HTTP status if there was a response.

    `error` says why the callback was not accepted, "" if it was. `retry_after` is the Retry-After
    header's, in s.
    """

    status: int | None
    error: str = ""
    retry_after: float | None = None

    @property
    def is_accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300 and not self.error


@dataclass(slots=True)
class Delivery:
    """A callback and its attempts; mutable, since only the outbox changes it.

    `body` is the JSON to send. All times are ms since epoch; `pending_since` is its creation or the
    last retry on request, `conflict_since` the first 409 since then. `traceparent` is its call's.
    """

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
    conflict_since: int | None = None
    traceparent: str = ""

    @property
    def chain(self) -> str:
        """Deliveries of one chain arrive in order: those of one call to one URL."""
        return f"{self.call_id}:{self.delivery_id.rpartition('_')[2]}"

    @property
    def host(self) -> str:
        """Host and port that it goes to; what may be pending is shared out among these."""
        _, host, port = origin_of(self.url)
        return f"{host}:{port}"

    @property
    def is_pending(self) -> bool:
        return self.status is DeliveryStatus.PENDING

    def record_attempt(self, answer: Answer, at: int, *, give_up_after: float) -> None:
        """Record an attempt made `at` (ms since epoch); retries end after `give_up_after` s."""
        self.attempts += 1
        self.last_attempt_at = at
        self.last_status = answer.status
        self.last_error = answer.error
        if answer.status == 409 and self.conflict_since is None:
            self.conflict_since = at
        if answer.is_accepted:
            self.status = DeliveryStatus.DELIVERED
        elif self._should_give_up(answer, at, give_up_after):
            self.status = DeliveryStatus.FAILED

    def backoff(self, answer: Answer, jitter: float) -> float:
        """The pause before the next attempt, in s: it doubles with every attempt.

        `jitter` (0.5 to 1) shortens it, but never below what the receiver asked for.
        """
        doubled = min(2.0 ** min(self.attempts - 1, 10), LONGEST_BACKOFF)
        return max(doubled * jitter, answer.retry_after or 0.0)

    def fail(self, error: str) -> None:
        """Give it up; it may still be tried again on request."""
        self.status = DeliveryStatus.FAILED
        self.last_error = error

    def reset(self, at: int) -> None:
        """Make it pending again, on request."""
        self.status = DeliveryStatus.PENDING
        self.pending_since = at
        self.conflict_since = None

    def view(self) -> dict[str, object]:
        """The delivery as the API shows it."""
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

    def _should_give_up(self, answer: Answer, at: int, give_up_after: float) -> bool:
        if answer.status == 410 or (answer.retry_after or 0.0) > give_up_after:
            return True
        if self.conflict_since is not None and answer.status == 409:
            return at - self.conflict_since >= min(give_up_after, CONFLICT_LIMIT) * 1000
        return at - self.pending_since >= give_up_after * 1000
