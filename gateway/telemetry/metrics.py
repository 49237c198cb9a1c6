"""The numbers of one gateway for Prometheus; each gateway of a process has its own.

Labels are words of the code (directions, reasons, endpoints), never ids, numbers or people's names.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import accumulate

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

# They say when a series began, which nothing here asks, and double the page.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

#: Upper bounds in s: of a request, of what a caller waits for, and of a silence.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
WAIT_BUCKETS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)
SILENCE_BUCKETS = (1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0)
CALL_BUCKETS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


#: Called for each request: what it was, how long it took in s, a word for why it failed or "".
Observe = Callable[[str, float, str], None]


def unobserved(what: str, seconds: float, error: str) -> None:
    """For requests that nobody counts, such as those of commands."""


class Requests(Collector):
    """How long requests of one kind took, and how many failed; `label` says what they are by.

    prometheus_client's Histogram would cost each call hook a few percent more: it takes two locks
    for each number, and one thread counts here.
    """

    def __init__(self, registry: CollectorRegistry, name: str, of: str, label: str) -> None:
        self._name, self._of, self._label = f"gateway_{name}", of, label
        #: By what they are: how many fell into each bucket and beyond, and the sum of all in s.
        self._seconds: dict[str, list[float]] = {}
        self._failures: dict[tuple[str, str], int] = {}
        registry.register(self)

    def observe(self, what: str, seconds: float, error: str = "") -> None:
        """`error` is a word for why it failed, "" if it did not."""
        counts = self._seconds.get(what)
        if counts is None:
            counts = self._seconds[what] = [0.0] * (len(REQUEST_BUCKETS) + 2)
        counts[bisect_left(REQUEST_BUCKETS, seconds)] += 1
        counts[-1] += seconds
        if error:
            self._failures[what, error] = self._failures.get((what, error), 0) + 1

    def collect(self) -> Iterator[Metric]:
        """Called in another thread: what is counted meanwhile may be left out."""
        seconds = HistogramMetricFamily(
            f"{self._name}_duration_seconds", f"How long {self._of} took", labels=[self._label]
        )
        for what, (*counts, total) in list(self._seconds.items()):
            bounds = (*map(str, REQUEST_BUCKETS), "+Inf")
            seconds.add_metric([what], list(zip(bounds, accumulate(counts), strict=True)), total)
        yield seconds
        failures = CounterMetricFamily(
            f"{self._name}_failures",
            f"How many {self._of} failed, and why",
            labels=[self._label, "error"],
        )
        for (what, error), number in list(self._failures.items()):
            failures.add_metric([what, error], number)
        yield failures


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
