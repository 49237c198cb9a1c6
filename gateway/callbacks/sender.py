"""Sends one callback: signed, within a timeout, and to allowed addresses only. Never raises."""

import errno
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from standardwebhooks import Webhook
from yarl import URL

from gateway.callbacks.delivery import Answer
from gateway.config.settings import CallbackSettings
from gateway.security.callback_urls import host_of, is_allowed, is_private, without_query

#: Connections to one receiver at most, so that a slow receiver cannot take all.
CONNECTIONS_PER_HOST = 10
IS_PRIVATE = "is in a private network; to allow it, list it in callbacks.allowed_hosts"


class Sender:
    """The Transport over HTTP; make one with `open()`."""

    def __init__(
        self,
        settings: CallbackSettings,
        session: aiohttp.ClientSession,
        allowed_hosts: Sequence[str],
    ) -> None:
        self._session = session
        self._allowed_hosts = allowed_hosts
        self._webhooks = [Webhook(secret) for secret in settings.secrets]
        name, _, value = settings.header.partition(":")
        self._fixed_headers = {name.strip(): value.strip()} if value else {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: CallbackSettings) -> AsyncIterator[Self]:
        allowed_hosts = (*settings.allowed_hosts, *(host_of(url) for url in settings.urls))
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=CONNECTIONS_PER_HOST, resolver=GuardedResolver(allowed_hosts)
        )
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=settings.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield cls(settings, session, allowed_hosts)

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        """POST `body` (JSON) to `url`, whose query is sent byte for byte as given."""
        host = host_of(url)
        if _is_forbidden(host, host, self._allowed_hosts):  # an address is not resolved
            return Answer(None, f"{host} {IS_PRIVATE}")
        headers = {
            "Content-Type": "application/json",
            **self._fixed_headers,
            **self._webhook_headers(body, event_id),
        }
        try:
            async with self._session.post(
                URL(url, encoded=True),
                data=body.encode(),
                headers=headers,
                allow_redirects=False,
            ) as response:
                error = f"answered {response.status} {response.reason}"
                return Answer(
                    response.status,
                    "" if response.status < 300 else _encodable(error),
                    _seconds(response.headers.get("Retry-After")),
                )
        except TimeoutError:
            return Answer(None, "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The text may contain the URL, and the URL's query a secret.
            return Answer(None, _encodable(str(error).replace(url, without_query(url))))

    def _webhook_headers(self, body: str, event_id: str) -> dict[str, str]:
        """The headers of Standard Webhooks (standardwebhooks.com): id, time, signatures.

        There is a signature for each secret; a receiver accepts any that it can verify.
        """
        now = datetime.now(UTC)
        headers = {"webhook-id": event_id, "webhook-timestamp": str(int(now.timestamp()))}
        if self._webhooks:
            signatures = (webhook.sign(event_id, now, body) for webhook in self._webhooks)
            headers["webhook-signature"] = " ".join(signatures)
        return headers


class GuardedResolver(AbstractResolver):
    """Resolves names, but not to private addresses, unless the name is in `allowed_hosts`."""

    def __init__(self, allowed_hosts: Sequence[str]) -> None:
        self._allowed_hosts = allowed_hosts
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        results = await self._inner.resolve(host, port, family)
        name = host.removesuffix(".")
        if any(_is_forbidden(name, result["host"], self._allowed_hosts) for result in results):
            raise PermissionError(errno.EACCES, f"{host} {IS_PRIVATE}")
        return results

    async def close(self) -> None:
        await self._inner.close()


def _is_forbidden(host: str, address: str, allowed_hosts: Sequence[str]) -> bool:
    return is_private(address) and not is_allowed(host, allowed_hosts)


def _encodable(text: str) -> str:
    """`text` without the surrogates by which aiohttp decodes bytes that are not UTF-8."""
    return text.encode(errors="replace").decode()


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
