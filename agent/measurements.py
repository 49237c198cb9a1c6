"""What livekit-agents measures in the jobs: turns, models' usage; brought to the worker as files.

The framework measures by OpenTelemetry, each process for itself, and each call has a process of its
own. A process that ends leaves its numbers in the worker's folder. (prometheus_client's mode for
several processes would keep the files of each call for ever.) Only words are kept of their
attributes: the framework adds the ids of job and room.
"""

import contextlib
import json
import multiprocessing.util
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from opentelemetry import metrics
from opentelemetry.sdk.metrics import Counter, MeterProvider
from opentelemetry.sdk.metrics import Histogram as HistogramInstrument
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    InMemoryMetricReader,
    Sum,
)
from opentelemetry.sdk.metrics.view import (
    Aggregation,
    DefaultAggregation,
    DropAggregation,
    ExplicitBucketHistogramAggregation,
    View,
)

#: Names the folder to the processes of the jobs, which inherit the environment.
_FOLDER = "_AGENT_MEASUREMENTS"
#: Upper bounds in s, the same as the gateway's of what a caller waits for.
BUCKETS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0)
_SECONDS = ExplicitBucketHistogramAggregation(BUCKETS)
_MODEL = {"model_provider", "model_name"}


def _view(names: str, attributes: set[str], aggregation: Aggregation) -> View:
    return View(instrument_name=names, attribute_keys=attributes, aggregation=aggregation)


_VIEWS = (
    _view("lk.agents.turn.*", _MODEL, _SECONDS),
    _view("lk.agents.usage.*", _MODEL, DefaultAggregation()),
    _view("lk.agents.connection.*", _MODEL, _SECONDS),
    _view("lk.agents.event_loop.*", {"severity"}, _SECONDS),
    # The same again, under names of a convention that is not settled.
    _view("gen_ai.*", set(), DropAggregation()),
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was measured since the last time; `counts` for each of BUCKETS and beyond, or none.

    `total` is the sum of all values.
    """

    name: str
    description: str
    labels: dict[str, str]
    total: float
    counts: list[int]


#: Of this process: that of one job, or the worker's where calls are threads.
_reader: InMemoryMetricReader | None = None


@contextlib.contextmanager
def measuring() -> Iterator[Path]:
    """While it is entered, jobs that start measure; yields their folder. Raises OSError."""
    with tempfile.TemporaryDirectory(prefix="agent-measurements-") as folder:
        os.environ[_FOLDER] = folder
        try:
            yield Path(folder)
        finally:
            os.environ.pop(_FOLDER, None)


def measure() -> None:
    """Have the framework measure in this process, from before its first job."""
    global _reader  # noqa: PLW0603 - OpenTelemetry has one of each process, too
    folder = os.environ.get(_FOLDER)
    if _reader or not folder:
        return
    delta = AggregationTemporality.DELTA
    _reader = InMemoryMetricReader({Counter: delta, HistogramInstrument: delta})
    metrics.set_meter_provider(MeterProvider([_reader], views=_VIEWS, shutdown_on_exit=False))
    # A child process runs no atexit functions.
    multiprocessing.util.Finalize(None, _leave_in, args=(Path(folder),), exitpriority=0)


def measured_here() -> list[Measurement]:
    """By this process since the last time."""
    data = _reader.get_metrics_data() if _reader else None
    return [
        measurement
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for measurement in _measurements(metric)
    ]


def measured_in(folder: Path) -> list[Measurement]:
    """By the processes that have ended since the last time."""
    found = []
    for file in folder.glob("*.json"):
        try:
            found += [Measurement(**it) for it in json.loads(file.read_bytes())]
        except (OSError, ValueError, TypeError):
            continue  # it costs only its numbers
        finally:
            file.unlink(missing_ok=True)
    return found


def _leave_in(folder: Path) -> None:
    """A full disk costs the numbers, and nothing else."""
    if content := [asdict(it) for it in measured_here()]:
        unfinished = folder / f"{os.getpid()}.part"
        with contextlib.suppress(OSError):
            unfinished.write_text(json.dumps(content))
            unfinished.rename(unfinished.with_suffix(".json"))


def _measurements(metric: Any) -> Iterator[Measurement]:
    unit = "_seconds" if metric.unit == "s" else ""
    name = f"{metric.name.replace('.', '_')}{unit}"
    for point in metric.data.data_points:
        labels = {key: str(value) for key, value in (point.attributes or {}).items()}
        about = name, metric.description or "", labels
        if isinstance(metric.data, Histogram):
            yield Measurement(*about, point.sum, list(point.bucket_counts))
        elif isinstance(metric.data, Sum):
            yield Measurement(*about, point.value, [])
