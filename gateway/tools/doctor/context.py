"""What the doctor looks at: a configuration, and ways to ask the gateway and LiveKit."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from gateway.config.loader import own_keys
from gateway.config.settings import Config
from gateway.livekit.client import LiveKit
from gateway.tools.doctor.web import Web


@dataclass(frozen=True, slots=True)
class Context:
    """`env` is the environment over what .env.local says, as the worker would see it."""

    config: Config
    env: Mapping[str, str]
    web: Web
    livekit: LiveKit

    @classmethod
    @asynccontextmanager
    async def opened(cls, config: Config, env: Mapping[str, str], url: str) -> AsyncIterator[Self]:
        """`url` is that of the gateway to ask, with a key of `env`."""
        settings = config.livekit
        async with (
            Web.opened(own_keys(config, env), url) as web,
            LiveKit.connected(
                settings.url, settings.api_key, settings.api_secret, timeout=settings.timeout
            ) as livekit,
        ):
            yield cls(config, env, web, livekit)
