"""Sends one callback: signed, within a timeout, and to allowed addresses only. Never raises."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self
from weakref import WeakValueDictionary

import aiohttp
import structlog
from aiohttp.abc import AbstractResolver
from yarl import URL

from common.guarded_resolver import AddressRejected, GuardedResolver
from common.http_failures import reason_of
from common.resolver import LookupFailed, Resolver
from common.signing import Signer
from common.urls import UrlRejected, origin_of
from gateway.callbacks.answers import answer_of
from gateway.callbacks.delivery import Answer
from gateway.config.settings import CallbackSettings
from gateway.security.callback_policy import CallbackPolicy
from gateway.telemetry.traced_http import trace_configs

log = structlog.get_logger()

#: Requests to one receiver at a time, so that a slow receiver cannot take all connections.
REQUESTS_PER_RECEIVER = 10
#: How long a client that names a callback URL waits for its host's addresses, in s.
CHECK_TIMEOUT = 1.0

Origin = tuple[str, str, int]


class Sender:
    """The Transport over HTTP; make one with `open()`.

    URLs that the settings name are sent over `trusted`, all others over `guarded`, which connects
    to permitted addresses only.
    """

    def __init__(
        self,
        settings: CallbackSettings,
        policy: CallbackPolicy,
        *,
        trusted: aiohttp.ClientSession,
        guarded: aiohttp.ClientSession,
        addresses: GuardedResolver,
    ) -> None:
        self._timeout = settings.timeout
        self._policy = policy
        self._trusted = trusted
        self._guarded = guarded
        self._addresses = addresses
        self._slots: WeakValueDictionary[Origin, asyncio.Semaphore] = WeakValueDictionary()
        self._signer = Signer(settings.secrets)
        name, _, value = settings.header.partition(":")
        self._fixed_headers = {name.strip(): value.strip()} if value else {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: CallbackSettings) -> AsyncIterator[Self]:
        policy = CallbackPolicy(settings.urls, settings.allowed_hosts)
        async with Resolver() as resolver:
            addresses = GuardedResolver(resolver, policy)
            async with _session(resolver) as trusted, _session(addresses) as guarded:
                yield cls(settings, policy, trusted=trusted, guarded=guarded, addresses=addresses)

    async def check(self, url: str) -> None:
        """Raise UrlRejected if callbacks may not go to `url`, or its host does not exist.

        A host whose addresses are not known in time is checked when callbacks are sent to it.
        """
        self._policy.check(url)
        if self._policy.trusts(url):
            return
        _, host, port = origin_of(url)
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                await self._addresses.resolve(host, port)
        except AddressRejected as error:
            raise UrlRejected(str(error)) from error
        except LookupFailed as error:
            if error.is_final:
                raise UrlRejected(str(error)) from error
            log.warning("callback.host_not_checked", host=host, error=str(error))
        except TimeoutError:
            log.warning("callback.host_not_checked", host=host, error="no answer in time")

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        """POST `body` (JSON) to `url`, whose query is sent byte for byte as given.

        The receiver's time begins once fewer than REQUESTS_PER_RECEIVER others are sent to it.
        """
        try:
            self._policy.check(url)
        except UrlRejected as error:
            return Answer(None, str(error))
        origin = origin_of(url)
        async with self._slots.setdefault(origin, asyncio.Semaphore(REQUESTS_PER_RECEIVER)):
            return await self._post(url, body, event_id)

    async def _post(self, url: str, body: str, event_id: str) -> Answer:
        session = self._trusted if self._policy.trusts(url) else self._guarded
        headers = {
            "Content-Type": "application/json",
            **self._fixed_headers,
            **self._signer.headers(event_id, body),
        }
        try:
            async with session.post(
                URL(url, encoded=True),
                data=body.encode(),
                headers=headers,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._timeout),
                trace_request_ctx={"call.event_id": event_id},
            ) as response:
                return await answer_of(response, url)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, reason_of(error, self._timeout))


def _session(resolver: AbstractResolver) -> aiohttp.ClientSession:
    """Without a limit of connections: Sender has its own, outside of the receiver's time."""
    connector = aiohttp.TCPConnector(limit=0, use_dns_cache=False, resolver=resolver)
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=trace_configs()
    )
