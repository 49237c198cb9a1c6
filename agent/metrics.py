"""The numbers of a worker, for Prometheus: its own, and what livekit-agents measures in jobs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import prometheus_client
from prometheus_client import REGISTRY, CollectorRegistry, Counter, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from agent.measurements import BUCKETS, Measurement
from agent.silences import MUTE, STOOD_STILL

# They say when a series began, which nothing here asks.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]

#: Series of one name at most: a dispatch may name models of its own. What is beyond is `other`.
MAX_SERIES = 100
#: Why an agent was silent, in a word.
_WHY = {STOOD_STILL: "stood_still", MUTE: "mute"}

#: What there is at a moment: a name, in words, and the number.
Gauges = Callable[[], Iterable[tuple[str, str, float]]]


class WorkerMetrics:
    """Of one worker; `gauges` is asked at each look."""

    def __init__(self, gauges: Gauges = tuple) -> None:
        self._registry = CollectorRegistry()
        self.jobs = Counter("worker_jobs", "Jobs that began", registry=self._registry)
        self.silences = Counter(
            "worker_agent_silences",
            "Times in which an agent should have been heard and was not, as seen from outside",
            ["why"],
            registry=self._registry,
        )
        for why in _WHY.values():
            self.silences.labels(why)
        self.measured = Measured()
        self._registry.register(self.measured)
        self._registry.register(_Gauges(gauges))

    def silent(self, why: str) -> None:
        """`why`: STOOD_STILL or MUTE."""
        self.silences.labels(_WHY[why]).inc()

    def page(self) -> bytes:
        """In Prometheus' text format, with what livekit-agents itself counts of its processes."""
        return generate_latest(self._registry) + generate_latest(REGISTRY)


class _Gauges(Collector):
    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        for name, text, value in self._gauges():
            yield GaugeMetricFamily(f"worker_{name}", text, value)


@dataclass
class _Series:
    """What all jobs have measured together; `counts` are empty for a counter."""

    total: float = 0.0
    counts: list[int] = field(default_factory=list)

    def add(self, measurement: Measurement) -> None:
        self.total += measurement.total
        before = self.counts or [0] * len(measurement.counts)
        self.counts = [a + b for a, b in zip(before, measurement.counts, strict=True)]


class Measured(Collector):
    """The sums of what the processes of jobs have measured."""

    def __init__(self) -> None:
        self._descriptions: dict[str, str] = {}
        self._series: dict[str, dict[tuple[tuple[str, str], ...], _Series]] = {}

    def add(self, measurements: Iterable[Measurement]) -> None:
        for it in measurements:
            self._descriptions[it.name] = it.description
            series = self._series.setdefault(it.name, {})
            labels = tuple(sorted(it.labels.items()))
            if labels not in series and len(series) >= MAX_SERIES:
                labels = tuple((name, "other") for name, _ in labels)
            series.setdefault(labels, _Series()).add(it)

    def collect(self) -> Iterator[Metric]:
        for name, series in self._series.items():
            names = sorted({label for labels in series for label, _ in labels})
            text = self._descriptions[name] or "as livekit-agents measures it"
            yield _family(name, text, names, dict(series))


def _family(
    name: str,
    text: str,
    label_names: list[str],
    series: Mapping[tuple[tuple[str, str], ...], _Series],
) -> Metric:
    if not any(it.counts for it in series.values()):
        counter = CounterMetricFamily(name, text, labels=label_names)
        for labels, it in series.items():
            counter.add_metric(_values(label_names, labels), it.total)
        return counter
    histogram = HistogramMetricFamily(name, text, labels=label_names)
    for labels, it in series.items():
        histogram.add_metric(_values(label_names, labels), _cumulated(it.counts), it.total)
    return histogram


def _values(names: list[str], labels: tuple[tuple[str, str], ...]) -> list[str]:
    known = dict(labels)
    return [known.get(name, "") for name in names]


def _cumulated(counts: list[int]) -> list[tuple[str, float]]:
    bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
    return list(zip(bounds, accumulate(counts), strict=True))
