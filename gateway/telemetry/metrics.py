"""The numbers of one gateway for Prometheus; each gateway of a process has its own.

Labels are words of the code (directions, reasons, endpoints), never ids, numbers or people's names.
"""

from collections.abc import Callable

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector

# They say when a series began, which nothing here asks, and double the page.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

#: Upper bounds in s: of a request, of what a caller waits for, and of a silence.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
WAIT_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)
SILENCE_BUCKETS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0)
CALL_BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


#: Told of each request: what it was, how long it took in s, and a word for why it failed, or "".
Observe = Callable[[str, float, str], None]


def unobserved(what: str, seconds: float, error: str) -> None:
    """For requests that nobody counts, such as those of commands."""


class Requests:
    """How long requests of one kind took, and how many failed; `label` says what they are by.

    What has been counted once is bound: to look up a label would cost more than to count.
    """

    def __init__(self, registry: CollectorRegistry, name: str, of: str, label: str) -> None:
        self._seconds = Histogram(
            f"gateway_{name}_duration_seconds",
            f"How long {of} took",
            [label],
            buckets=REQUEST_BUCKETS,
            registry=registry,
        )
        self._failures = Counter(
            f"gateway_{name}_failures",
            f"How many {of} failed, and why",
            [label, "error"],
            registry=registry,
        )
        self._bound: dict[str, Histogram] = {}

    def observe(self, what: str, seconds: float, error: str = "") -> None:
        """`error` is a word for why it failed, "" if it did not."""
        bound = self._bound.get(what)
        if bound is None:
            bound = self._bound[what] = self._seconds.labels(what)
        bound.observe(seconds)
        if error:
            self._failures.labels(what, error).inc()


class Metrics:
    """Everything that is counted as it happens; what is there now is read when asked for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.http = self._requests("http_request", "requests to the gateway", "endpoint")
        self.livekit = self._requests("livekit_request", "requests to LiveKit", "method")
        self.storage = self._requests("storage_request", "commands to Redis", "command")
        self.callbacks = self._requests("callback", "attempts to deliver a callback", "event")
        self.callbacks_ended = self._counter(
            "callbacks", "Callbacks that were delivered or given up", "event", "status"
        )
        self.callbacks_dropped = self._counter(
            "callbacks_dropped", "Callbacks dropped beyond callbacks.max_pending"
        )
        self.callback_retries = self._counter("callback_retries", "Repeated attempts", "event")
        self.calls_registered = self._counter("calls_registered", "Calls that began", "direction")
        self.calls_answered = self._counter("calls_answered", "Calls answered", "direction")
        self.calls_ended = self._counter(
            "calls_ended", "Calls that ended", "direction", "status", "reason"
        )
        self.call_duration = self._histogram(
            "call_duration_seconds", "From the answer to the end", CALL_BUCKETS, "direction"
        )
        self.agent_ready = self._histogram(
            "agent_ready_seconds",
            "From the call hook or dispatch until the agent can be heard",
            WAIT_BUCKETS,
            "direction",
        )
        self.first_audio = self._histogram(
            "first_audio_seconds", "From the answer to the agent's first audio", WAIT_BUCKETS
        )
        self.turn = self._histogram(
            "turn_seconds", "From the end of the caller's speech to the answer", WAIT_BUCKETS
        )
        self.silences = self._counter(
            "agent_silences", "Times in which the agent should have been heard and was not"
        )
        self.silence = self._histogram(
            "agent_silence_seconds", "The same, how long they were, once known", SILENCE_BUCKETS
        )
        self.unanswered = self._counter(
            "unanswered_speech", "How often callers spoke and got no answer"
        )
        self.conversations = self._counter(
            "conversations", "Answered calls that are over, by what was wrong with them", "verdict"
        )
        self.packets = self._counter(
            "audio_packets", "Audio between LiveKit and agents", "direction", "outcome"
        )

    def _requests(self, name: str, of: str, label: str) -> Requests:
        return Requests(self.registry, name, of, label)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"gateway_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"gateway_{name}", text, labels, buckets=buckets, registry=self.registry)
