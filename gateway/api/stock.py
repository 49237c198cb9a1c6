"""What there is at this moment, for Prometheus: read when it asks, not counted as it happens."""

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway import __version__
from gateway.api.limits import Workload
from gateway.api.services import Services
from gateway.calls.call import Direction
from gateway.errors import ErrorCode, StorageUnavailable
from gateway.logs import lost_lines


class _Stock(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


async def take_stock(services: Services) -> CollectorRegistry:
    """Numbers of storage are missing while it does not answer, rather than wrong."""
    registry = CollectorRegistry()
    stored = await _stored(services)
    registry.register(_Stock([*stored, *await _parts(services), *_own(services)]))
    return registry


async def _stored(services: Services) -> list[Metric]:
    """Gateways that share a Redis have these in common: take the maximum, not the sum."""
    active = GaugeMetricFamily(
        "gateway_active_calls", "Calls that have not ended, of all gateways", labels=["direction"]
    )
    try:
        for direction in Direction:
            count = await services.storage.registry.count_active(direction)
            active.add_metric([direction], count)
        pending = await services.storage.outbox.pending()
    except StorageUnavailable:
        return []
    return [
        active,
        GaugeMetricFamily(
            "gateway_callbacks_pending", "Callbacks to be delivered, of all gateways", pending
        ),
    ]


async def _parts(services: Services) -> Iterator[Metric]:
    available = GaugeMetricFamily(
        "gateway_part_available", "1 if the part answers as /readyz asks it", labels=["part"]
    )
    for name, state in (await services.readiness.states()).items():
        available.add_metric([name], state.is_ok)
    return iter([available])


def _own(services: Services) -> Iterator[Metric]:
    counters, limits = services.counters, services.limits
    history = services.history_status
    info = GaugeMetricFamily("gateway_info", "Always 1", labels=["version", "strategy"])
    info.add_metric([__version__, services.config.inbound.strategy], 1)
    yield info
    in_progress = GaugeMetricFamily(
        "gateway_requests_in_progress", "Requests being answered", labels=["workload"]
    )
    for workload in Workload:
        in_progress.add_metric([workload], limits.slots(workload).taken)
    yield in_progress
    shed = CounterMetricFamily(
        "gateway_requests_shed", "Requests and connections refused by a limit", labels=["limit"]
    )
    for limit in {ErrorCode.OVERLOADED, ErrorCode.TOO_MANY_REQUESTS, *limits.refused}:
        shed.add_metric([limit], limits.refused[limit])
    yield shed
    for name, text, value in (
        ("draining", "1 once a signal has stopped it", services.draining.is_set()),
        ("deferred_writes", "Writes that wait for storage", len(services.deferred)),
        ("history_waiting", "Ended calls that are not in the history yet", history.waiting),
        ("event_listeners", "Clients of the live feed", services.listeners.number),
    ):
        yield GaugeMetricFamily(f"gateway_{name}", text, value)
    for name, text, count in (
        ("livekit_webhooks", "Webhooks of LiveKit", counters.webhooks),
        ("stray_rooms", "Rooms of unsolicited INVITEs, deleted", counters.stray_rooms),
        ("stray_legs", "Legs of unsolicited INVITEs, removed", counters.stray_legs),
        ("history_lost", "Ended calls that the history will not have", history.lost),
        ("log_lines_lost", "Log lines that could not be written", lost_lines()),
    ):
        yield CounterMetricFamily(f"gateway_{name}", text, count)
