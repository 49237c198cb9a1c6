"""Traces of calls by OpenTelemetry, where a collector is named; else each function does nothing.

What the gateway does about a call is one trace, at whichever gateway: the context of its first
request is stored with the call (`Call.traceparent`), and goes with it to the agent, to n8n and
into the log. spans.py, which needs OpenTelemetry, is imported only where traces are wanted.
"""

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from common.tracing import tracer_provider

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from gateway.telemetry.spans import Step, Trace

SERVICE = "jambonz-livekit-gateway"

_tracer: "Tracer | None" = None
_current: "ContextVar[Trace | None]" = ContextVar("trace", default=None)
_NOTHING: AbstractContextManager[None] = nullcontext()


@contextmanager
def exporting(env: Mapping[str, str], *, version: str = "") -> Iterator[None]:
    """While in the context, spans go to the collector that `env` names, if it names one.

    What waits is exported at the end, within seconds.
    """
    global _tracer  # noqa: PLW0603 - as logging's, for each function would have to pass it on
    provider = tracer_provider(env, SERVICE)
    if provider is None:
        yield
        return
    from common.otlp import close  # noqa: PLC0415 - it needs the SDK

    _tracer = provider.get_tracer(SERVICE, version)
    try:
        yield
    finally:
        _tracer = None
        close(provider)


def is_on() -> bool:
    return _tracer is not None


@contextmanager
def request(
    method: str, route: str, headers: Mapping[str, object], *, is_authenticated: bool = False
) -> Iterator["Trace | None"]:
    """A request to the gateway; whoever enters calls `Trace.end()` with the answer's status.

    `route` is its path, with the names of variables in place of their values.
    """
    if _tracer is None:
        yield None
        return
    from gateway.telemetry.spans import Trace, sent_by  # noqa: PLC0415 - needs OpenTelemetry

    attributes = {"http.request.method": method, "http.route": route}
    trace = Trace(_tracer, f"{method} {route}", dict(attributes), sent_by(headers))
    trace.is_authenticated = is_authenticated
    token = _current.set(trace)
    try:
        yield trace
    except BaseException:
        trace.end(500)
        raise
    finally:
        _current.reset(token)


def authenticated() -> None:
    """The request's client has proved who it is: what is done for it is recorded."""
    if trace := _current.get():
        trace.is_authenticated = True


def traceparent() -> str:
    """W3C's `traceparent` of the request, for the call that it begins; "" without traces."""
    trace = _current.get()
    if trace is None:
        return ""
    from gateway.telemetry.spans import traceparent_of  # noqa: PLC0415 - needs OpenTelemetry

    return traceparent_of(trace.span)


def join(call_id: str, traceparent: str) -> None:
    """The request is about this call: it joins the call's trace."""
    trace = _current.get()
    if trace and traceparent:
        trace.join(call_id, traceparent)


def of_call(call_id: str, traceparent: str) -> AbstractContextManager[None]:
    """As `join()`, also for work in the background, while in the context."""
    if _tracer is None or not traceparent:
        return _NOTHING
    if _current.get() is None:
        return _in_background(call_id, traceparent)
    join(call_id, traceparent)
    return _NOTHING


@contextmanager
def _in_background(call_id: str, traceparent: str) -> Iterator[None]:
    from gateway.telemetry.spans import Trace, context_of  # noqa: PLC0415 - needs OpenTelemetry

    context = context_of(traceparent)
    if _tracer is None or context is None:
        yield
        return
    token = _current.set(Trace(_tracer, "", {}, context, is_authenticated=True, call_id=call_id))
    try:
        yield
    finally:
        _current.reset(token)


def step(name: str, attributes: Mapping[str, Any]) -> "Step | None":
    """A request that the gateway makes, unless it belongs to no trace."""
    trace = _current.get()
    if trace is None:
        return None
    from gateway.telemetry.spans import Step  # noqa: PLC0415 - needs OpenTelemetry

    return Step(trace, name, dict(attributes))


def redis_command(command: str, script: str) -> "AbstractContextManager[object]":
    """A command to Redis, or the `script` that it runs."""
    if _current.get() is None:
        return _NOTHING
    attributes = {"db.system.name": "redis", "db.operation.name": command}
    if script:
        attributes["db.stored_procedure.name"] = script
    return step(f"{command} {script}".strip(), attributes) or _NOTHING


def record_call(
    call_id: str,
    traceparent: str,
    *,
    began: int,
    ended: int,
    attributes: Mapping[str, Any],
    events: Iterable[tuple[int, str]],
) -> None:
    """The call itself, once it has ended: from hook to end, with what happened. Times in ms."""
    if _tracer is None or not traceparent:
        return
    from gateway.telemetry.spans import call_span  # noqa: PLC0415 - needs OpenTelemetry

    span = call_span(_tracer, traceparent, began, {"call.id": call_id, **attributes})
    for at, name in events:
        span.add_event(name, timestamp=at * 1_000_000)
    span.end(ended * 1_000_000)


def add_ids(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """A structlog processor: `trace_id` and `span_id` of what the line is about."""
    trace = _current.get()
    if trace and trace.is_authenticated and trace.is_known:
        context = trace.span.get_span_context()
        event["trace_id"] = f"{context.trace_id:032x}"
        event["span_id"] = f"{context.span_id:016x}"
    return event
