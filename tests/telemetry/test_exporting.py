"""A gateway exports its spans to the collector that the environment names, and works without it."""

import asyncio
import os
import platform
import time
from collections.abc import Sequence
from unittest import mock

import pytest
from livekit.protocol.room import CreateRoomRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from agent.context import read_context
from common import otlp
from common.tracing import secret_headers, tracer_provider
from gateway.telemetry import tracing
from tests.api.test_dispatch import dispatch
from tests.callbacks.conftest import ALLOWED, hang_up
from tests.conftest import GatewayStarter
from tests.fakes.collector import Collector
from tests.fakes.livekit import FakeLiveKit
from tests.fakes.receiver import Receiver
from tests.ports import free_port
from tests.telemetry.conftest import inbound_call


async def test_a_collector_that_is_away_costs_no_call_and_is_said_once(
    start_gateway: GatewayStarter,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exports: list[SpanExportResult] = []
    export = otlp.Collector.export

    def counted(self: otlp.Collector, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        exports.append(export(self, spans))
        return exports[-1]

    monkeypatch.setattr(otlp.Collector, "export", counted)
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{free_port()}",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.2",
        "OTEL_BSP_SCHEDULE_DELAY": "20",
    }
    with mock.patch.dict(os.environ), tracing.exporting(env):
        gateway = await start_gateway()
        for _ in range(3):
            before = len(exports)
            await inbound_call(gateway)
            async with asyncio.timeout(20):
                while len(exports) == before:
                    await asyncio.sleep(0.01)
        await inbound_call(gateway)  # its spans wait at the end
        began = time.monotonic()
    assert time.monotonic() - began < otlp.FLUSH_TIMEOUT + 1
    assert set(exports) == {SpanExportResult.FAILURE}
    said = [record.msg for record in caplog.records if record.name != "asyncio"]
    assert said == ["tracing.collector_unavailable"]


async def test_what_waits_is_exported_at_the_end(start_gateway: GatewayStarter) -> None:
    with mock.patch.dict(os.environ):
        async with Collector().serving() as collector:
            exporting = tracing.exporting({**collector.env, "OTEL_BSP_SCHEDULE_DELAY": "60000"})
            exporting.__enter__()
            await inbound_call(await start_gateway())
            assert not collector.spans
            # In a thread, for it waits for the collector, which is here.
            await asyncio.to_thread(exporting.__exit__, None, None, None)
            assert collector.named("call")


async def test_a_collector_that_comes_back_gets_spans_again(
    collector: Collector, start_gateway: GatewayStarter, caplog: pytest.LogCaptureFixture
) -> None:
    gateway = await start_gateway()
    collector.status = 400
    await inbound_call(gateway)
    await collector.until(lambda: caplog.records)
    collector.status = 200
    await inbound_call(gateway)
    await collector.until(lambda: len(caplog.records) == 2)
    assert collector.spans
    said = [record.msg for record in caplog.records]
    assert said == ["tracing.collector_unavailable", "tracing.collector_available"]


NOWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "env",
    [{}, {**NOWHERE, "OTEL_SDK_DISABLED": "true"}, {**NOWHERE, "OTEL_TRACES_EXPORTER": "none"}],
    ids=["not configured", "disabled", "no exporter"],
)
async def test_without_traces_nothing_is_traced(
    start_gateway: GatewayStarter,
    fake_livekit: FakeLiveKit,
    receiver: Receiver,
    env: dict[str, str],
) -> None:
    with mock.patch.dict(os.environ), tracing.exporting(env):
        assert not tracing.is_on()
        gateway = await start_gateway(callbacks=ALLOWED)
        _, dispatched = await dispatch(gateway, callback_url=receiver.url)
        await hang_up(gateway, dispatched["call_id"])
        await receiver.received(2)
    assert all("traceparent" not in headers for headers, _, _ in receiver.raw)
    room = next(it for _, it in fake_livekit.requests if isinstance(it, CreateRoomRequest))
    assert read_context(room.agents[0].metadata).traceparent == ""


@pytest.mark.parametrize(
    ("env", "is_installed", "problem"),
    [
        ({}, False, "pip install '.[otel]'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, True, "only http/protobuf is supported"),
    ],
)
def test_the_log_says_why_there_are_no_traces(
    caplog: pytest.LogCaptureFixture, env: dict[str, str], is_installed: bool, problem: str
) -> None:
    with (
        mock.patch("importlib.util.find_spec", return_value=is_installed),
        tracing.exporting({**NOWHERE, **env}),
    ):
        assert not tracing.is_on()
    (record,) = caplog.records
    assert problem in vars(record)["error"]


@pytest.mark.parametrize(
    ("env", "service", "instance"),
    [
        ({}, tracing.SERVICE, None),
        ({"OTEL_SERVICE_NAME": "telephony"}, "telephony", None),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=telephony,service.instance.id=gateway-1"},
            "telephony",
            "gateway-1",
        ),
    ],
)
def test_a_process_is_named_as_the_environment_says(
    env: dict[str, str], service: str, instance: str | None
) -> None:
    """Without an instance's name it is the host's and the process' own."""
    with mock.patch.dict(os.environ):
        provider = tracer_provider({**NOWHERE, **env}, tracing.SERVICE)
        assert provider
        attributes = provider.resource.attributes
        otlp.close(provider)
    assert attributes["service.name"] == service
    assert attributes["service.instance.id"] == (instance or f"{platform.node()}:{os.getpid()}")


def test_the_collectors_key_is_sent_to_it_and_is_a_secret() -> None:
    headers = {"OTEL_EXPORTER_OTLP_HEADERS": "api-key=s3cret-of-the-collector,x-scope=team%20a"}
    assert secret_headers(headers) == {"s3cret-of-the-collector", "team%20a"}
