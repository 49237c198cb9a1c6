"""A collector that the gateways of a test export their spans to."""

import asyncio
import os
from collections.abc import AsyncIterator
from unittest import mock

import pytest

from gateway.telemetry import tracing
from tests.fakes.collector import Collector


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    with mock.patch.dict(os.environ):
        async with Collector().serving() as collector:
            exporting = tracing.exporting(collector.env)
            exporting.__enter__()
            yield collector
            # In a thread, for its end waits for the collector, which is here.
            await asyncio.to_thread(exporting.__exit__, None, None, None)
