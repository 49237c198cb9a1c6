"""Traces of calls by OpenTelemetry: livekit-agents' spans and one for the call, in its trace.

The gateway's job metadata name the call's trace. On where the environment names a collector, as in
the gateway; else nothing here costs anything.
"""

import logging
import multiprocessing.util
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from livekit.agents import JobContext, telemetry
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from agent.context import CallContext
from agent.settings import environment
from common.otlp import Attributes, close
from common.tracing import tracer_provider

SERVICE = "jambonz-livekit-agent"
_SIP = "lk.sip."
#: What the framework may say of a SIP participant: the rest are numbers, names and headers.
_SIP_IDS = frozenset(
    f"{_SIP}{name}" for name in ("callID", "callIDFull", "callStatus", "trunkID", "ruleID")
)
_W3C = TraceContextTextMapPropagator()

#: Of this process: that of one job, or the worker's where calls are threads.
_provider: TracerProvider | None = None


def trace_calls() -> None:
    """Before the first job of a process; its spans are exported when the process ends."""
    global _provider  # noqa: PLW0603 - OpenTelemetry and logging have one of each process, too
    if _provider or not (provider := tracer_provider(environment(), SERVICE, clean=without_people)):
        return
    _provider = provider
    telemetry.set_tracer_provider(provider, allow_pii=False)
    logging.setLogRecordFactory(_with_ids(logging.getLogRecordFactory()))
    # A child process runs no atexit functions.
    multiprocessing.util.Finalize(None, close_traces, exitpriority=0)


def close_traces() -> None:
    """Export what waits, within seconds; only once."""
    global _provider
    if _provider:
        provider, _provider = _provider, None
        close(provider)


@contextmanager
def call_span(ctx: JobContext, call: CallContext) -> Iterator[otel_context.Context | None]:
    """The call's span in the trace of its first request, around all that the job does for it.

    The framework's `job_entrypoint`, which begins before the metadata are read, is linked to it.
    Yields the context, for what follows the call.
    """
    if _provider is None:
        yield None
        return
    parent = _W3C.extract({"traceparent": call.traceparent})
    gateway = trace.get_current_span(parent).get_span_context()
    if gateway.is_valid:
        trace.get_current_span().add_link(gateway)
    tracer = _provider.get_tracer(SERVICE)
    attributes = {"call.id": call.call_id, "lk.job_id": ctx.job.id}
    with tracer.start_as_current_span(
        "agent.call",
        context=parent if gateway.is_valid else None,
        kind=trace.SpanKind.CONSUMER,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield otel_context.get_current()
        except Exception as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(trace.StatusCode.ERROR)
            raise


@contextmanager
def within(context: otel_context.Context | None) -> Iterator[None]:
    """What follows the call, such as its report, is in its trace as well."""
    if context is None:
        yield
        return
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


def trace_headers() -> dict[str, str]:
    """For a request to the gateway; none without a trace."""
    headers: dict[str, str] = {}
    if _provider:
        _W3C.inject(headers)
    return headers


def without_people(attributes: Attributes) -> Attributes:
    """Without what livekit-agents does not mark as personal, and is: SIP headers and numbers."""
    return {
        name: value
        for name, value in attributes.items()
        if not name.startswith(_SIP) or name in _SIP_IDS
    }


def _with_ids(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    """Log records with the ids of the trace and span that they are made in."""

    def make_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            ids: Mapping[str, str] = {
                "trace_id": f"{context.trace_id:032x}",
                "span_id": f"{context.span_id:016x}",
            }
            record.__dict__.update(ids)
        return record

    return make_record
