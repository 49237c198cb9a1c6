"""A gateway in this process that listens as `serve` does."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from gateway.app import create_app
from tests.api.sockets import Gateway, Starter, listening
from tests.conftest import ConfigMaker


@pytest.fixture
async def start(make_config: ConfigMaker) -> AsyncIterator[Starter]:
    async with AsyncExitStack() as stack:

        async def start(**settings: Any) -> Gateway:
            config = make_config(limits=settings)
            return await stack.enter_async_context(listening(create_app(config), config.limits))

        yield start
