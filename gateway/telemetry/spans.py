"""Spans by OpenTelemetry's API; imported only where traces are wanted."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

_W3C = TraceContextTextMapPropagator()
#: What Jambonz sends (`getTracingPropagation`, feature-server): trace, span, sampled.
_B3 = re.compile(
    r"(?P<trace>(?:[0-9a-f]{16}){1,2})-(?P<span>[0-9a-f]{16})(?:-(?P<flag>[01d])(?:-[0-9a-f]{16})?)?"
)


def context_of(traceparent: str) -> SpanContext | None:
    """Of W3C's header; None if it is none."""
    context = get_current_span(_W3C.extract({"traceparent": traceparent})).get_span_context()
    return context if context.is_valid else None


def traceparent_of(span: Span) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_id_of(traceparent: str) -> str:
    return traceparent[3:35]


def sent_by(headers: Mapping[str, object]) -> SpanContext | None:
    """The context that a request came with: `traceparent` (W3C), or `b3`, which Jambonz sends."""
    if context := context_of(str(headers.get("traceparent", ""))):
        return context
    match = _B3.fullmatch(str(headers.get("b3", "")))
    if match is None:
        return None
    flags = "00" if match["flag"] == "0" else "01"
    return context_of(f"00-{match['trace']:0>32}-{match['span']}-{flags}")


@dataclass(slots=True)
class Trace:
    """What the gateway does about one request: a span, which begins when the request does.

    The call that it is about, and with it the trace that it belongs to, is known only after the
    first look into storage. So the span is made as soon as somebody needs it, and steps that have
    ended before wait for it. One without a name has no span of its own: its steps are children of
    `parent`.
    """

    tracer: Tracer
    name: str
    attributes: dict[str, AttributeValue] = field(default_factory=dict)
    parent: SpanContext | None = None
    is_authenticated: bool = False
    began: int = field(default_factory=time.time_ns)
    call_id: str = ""
    _span: Span | None = None
    _waiting: list[Callable[[Span], None]] = field(default_factory=list)

    @property
    def span(self) -> Span:
        if self._span is None:
            self._span = self._new_span()
            for record in self._waiting:
                record(self._span)
            self._waiting.clear()
        return self._span

    def _new_span(self) -> Span:
        if self.parent and not self.name:
            return NonRecordingSpan(self.parent)
        context = set_span_in_context(NonRecordingSpan(self.parent)) if self.parent else None
        return self.tracer.start_span(
            self.name,
            context=context,
            kind=SpanKind.SERVER,
            attributes=self.attributes,
            start_time=self.began,
        )

    def join(self, call_id: str, traceparent: str) -> None:
        """The request is about this call: be a child in its trace, or else linked to it."""
        if self.call_id:
            return
        self.call_id = call_id
        if not self.is_known:
            self.parent = context_of(traceparent)
        self.span.set_attribute("call.id", call_id)
        is_same = trace_id_of(traceparent) == trace_id_of(traceparent_of(self.span))
        if not is_same and (context := context_of(traceparent)):
            self.span.add_link(context)

    @property
    def is_known(self) -> bool:
        """Whether it is known which trace the request belongs to."""
        return self._span is not None or self.parent is not None

    def after(self, record: Callable[[Span], None]) -> None:
        """`record` a step that has ended, as soon as there is a span that it belongs to."""
        if self._span is None:
            self._waiting.append(record)
        else:
            record(self._span)

    def end(self, status: int) -> None:
        """With the HTTP status of the answer.

        Of a stranger's request nothing is recorded, nor of one that is about no call, such as a
        webhook about somebody else's room.
        """
        if not self.is_authenticated or not (self.is_known or status >= 500):
            return
        self.span.set_attribute("http.response.status_code", status)
        if status >= 500:
            fail(self.span, str(status))
        self.span.end()


@dataclass(slots=True)
class Step:
    """A request of ours, as a context: to LiveKit, Redis or a receiver of callbacks."""

    trace: Trace
    name: str
    attributes: dict[str, AttributeValue]
    began: int = field(default_factory=time.time_ns)
    _span: Span | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(error_type=kind.__name__ if kind else "")

    def traceparent(self) -> str:
        """For whoever gets the request; from now on it has a span."""
        if self._span is None:
            self._span = self._start(self.trace.span)
        return traceparent_of(self._span)

    def end(self, *, error_type: str = "", **attributes: AttributeValue) -> None:
        ended = time.time_ns()

        def record(parent: Span) -> None:
            span = self._span or self._start(parent)
            span.set_attributes(attributes)
            if error_type:
                fail(span, error_type)
            span.end(ended)

        self.trace.after(record)

    def _start(self, parent: Span) -> Span:
        return self.trace.tracer.start_span(
            self.name,
            context=set_span_in_context(parent),
            kind=SpanKind.CLIENT,
            attributes=self.attributes,
            start_time=self.began,
        )


def fail(span: Span, error_type: str) -> None:
    """Without the error's text, which may hold what a log would mask."""
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def call_span(
    tracer: Tracer, traceparent: str, began: int, attributes: Mapping[str, AttributeValue]
) -> Span:
    """A span that began at `began` (ms since epoch), in the call's trace."""
    parent = context_of(traceparent)
    return tracer.start_span(
        "call",
        context=set_span_in_context(NonRecordingSpan(parent)) if parent else None,
        attributes=attributes,
        start_time=began * 1_000_000,
    )
