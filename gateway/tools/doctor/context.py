"""What every check of `doctor` uses: the configuration, and clients of the gateway and LiveKit."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from gateway.config.loader import DEV_LIVEKIT, own_keys
from gateway.config.settings import Config
from gateway.livekit.client import LiveKit
from gateway.tools.doctor.web import HttpClient


@dataclass(frozen=True, slots=True)
class Context:
    """`env` is the environment together with .env.local, as a worker on this machine reads it."""

    config: Config
    env: Mapping[str, str]
    http: HttpClient
    livekit: LiveKit

    @property
    def is_dev(self) -> bool:
        """Whether `make run` has started LiveKit: on this machine, and without SIP."""
        return (
            bool(self.config.livekit.url) and self.env.get(DEV_LIVEKIT) == self.config.livekit.url
        )

    @classmethod
    @asynccontextmanager
    async def opened(cls, config: Config, env: Mapping[str, str], url: str) -> AsyncIterator[Self]:
        """`url` is the gateway's; requests to it use an API key from `env`."""
        settings = config.livekit
        async with (
            HttpClient.opened(own_keys(config, env), url) as http,
            LiveKit.connected(
                settings.url, settings.api_key, settings.api_secret, timeout=settings.timeout
            ) as livekit,
        ):
            yield cls(config, env, http, livekit)
