"""An OpenTelemetry collector that takes spans by OTLP over HTTP, and shows them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status


@dataclass(frozen=True)
class SeenSpan:
    """A span of `service`; ids in hexadecimal, `parent_id` "" for a root, `links` trace ids."""

    service: str
    instance: str
    span: Span

    @property
    def name(self) -> str:
        return self.span.name

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def links(self) -> list[str]:
        return [link.trace_id.hex() for link in self.span.links]

    @property
    def attributes(self) -> dict[str, object]:
        return _values(self.span.attributes)

    @property
    def events(self) -> list[str]:
        return [event.name for event in self.span.events]

    @property
    def has_failed(self) -> bool:
        return self.span.status.code == Status.STATUS_CODE_ERROR


@dataclass
class Collector:
    """`raw` has the bodies as they came, `headers` those of the last request.

    `status` is that of all answers.
    """

    status: int = 200
    spans: list[SeenSpan] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    headers: Mapping[str, str] = field(default_factory=dict)
    url: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Collector"]:
        app = web.Application(client_max_size=64 * 1024**2)
        app.router.add_post("/v1/traces", self._receive)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    @property
    def env(self) -> dict[str, str]:
        """What makes a process export its spans here, soon."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_BSP_SCHEDULE_DELAY": "50"}

    def trace(self, trace_id: str) -> list[SeenSpan]:
        return [span for span in self.spans if span.trace_id == trace_id]

    def named(self, name: str) -> list[SeenSpan]:
        return [span for span in self.spans if span.name == name]

    async def until(self, condition: Callable[[], object], *, limit: float = 20.0) -> None:
        """Wait until spans have come that meet `condition`. Raises TimeoutError."""
        async with asyncio.timeout(limit):
            while not condition():
                await asyncio.sleep(0.01)

    async def _receive(self, request: web.Request) -> web.Response:
        self.headers, body = dict(request.headers), await request.read()
        self.raw.append(body)
        if self.status == 200:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                known = _values(resource.resource.attributes)
                names = str(known["service.name"]), str(known["service.instance.id"])
                self.spans += [
                    SeenSpan(*names, span) for scope in resource.scope_spans for span in scope.spans
                ]
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(status=self.status, body=answer, content_type="application/x-protobuf")


def _values(attributes: object) -> dict[str, object]:
    pairs: list[KeyValue] = list(attributes)  # type: ignore[call-overload]  # protobuf's container
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value") or "string_value")
        for pair in pairs
    }
