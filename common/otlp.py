"""OpenTelemetry's SDK with one exporter, OTLP over HTTP; imported only where traces are wanted."""

import logging
import os
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.util.types import AttributeValue

logger = logging.getLogger(__name__)

Attributes: TypeAlias = Mapping[str, AttributeValue]
#: Takes out what must not leave the process.
Clean: TypeAlias = Callable[[Attributes], Attributes]

#: How long the end of a process waits for the collector, in s.
FLUSH_TIMEOUT = 2.0
#: These log each failed export and each span that is dropped; `Collector` says it once.
_NOISY = ("opentelemetry.exporter.otlp", "opentelemetry.sdk._shared_internal")


def open_provider(env: Mapping[str, str], service: str, clean: Clean | None) -> TracerProvider:
    """Reads OpenTelemetry's variables from `env`: sampler, queue, batches, resource, time-outs.

    At most OTEL_BSP_MAX_QUEUE_SIZE (2048) spans wait for the collector; more are dropped.
    """
    os.environ.update({name: value for name, value in env.items() if name.startswith("OTEL_")})
    named = env.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if "service.name=" not in named:
        os.environ.setdefault("OTEL_SERVICE_NAME", service)
    # Which of several gateways or jobs it was.
    instance = {"service.instance.id": f"{platform.node()}:{os.getpid()}"}
    resource = Resource.create({} if "service.instance.id=" in named else instance)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(Collector(OTLPSpanExporter(), clean)))
    return provider


def close(provider: TracerProvider) -> None:
    """Export what waits, within FLUSH_TIMEOUT: the SDK itself would wait for half a minute."""
    closing = threading.Thread(target=provider.shutdown, daemon=True, name="close traces")
    closing.start()
    closing.join(FLUSH_TIMEOUT)


class Collector(SpanExporter):
    """Exports cleaned spans; says once that the collector does not take them, or does again."""

    def __init__(self, exporter: SpanExporter, clean: Clean | None) -> None:
        self._exporter = exporter
        self._clean = clean
        self._is_available = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if clean := self._clean:
            spans = [_cleaned(span, clean) for span in spans]
        result = self._exporter.export(spans)
        is_available = result is SpanExportResult.SUCCESS
        if is_available != self._is_available:
            self._is_available = is_available
            if is_available:
                logger.warning("tracing.collector_available")
            else:
                effect = "spans are dropped until the collector takes them; calls go on"
                logger.warning("tracing.collector_unavailable", extra={"effect": effect})
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _cleaned(span: ReadableSpan, clean: Clean) -> ReadableSpan:
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=clean(span.attributes or {}),
        events=[
            Event(event.name, clean(event.attributes or {}), event.timestamp)
            for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )
