"""Sends one callback: signed, to allowed addresses only, within a time-out. Never raises."""

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
from gateway.security.callback_urls import host_of, is_allowed, is_private

#: Connections to one receiver at most: a slow one must not take all.
PER_HOST = 10
INSIDE = "leads into a private network, list it in callbacks.allowed_hosts"


class Sender:
    """Make one with `open()`."""

    def __init__(
        self,
        settings: CallbackSettings,
        session: aiohttp.ClientSession,
        trusted: Sequence[str],
    ) -> None:
        self._session = session
        self._trusted = trusted
        self._webhooks = [Webhook(secret) for secret in settings.secrets]
        name, _, value = settings.header.partition(":")
        self._fixed = {name.strip(): value.strip()} if value else {}

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: CallbackSettings) -> AsyncIterator[Self]:
        trusted = (*settings.allowed_hosts, *(host_of(url) for url in settings.urls))
        connector = aiohttp.TCPConnector(
            limit=0, limit_per_host=PER_HOST, resolver=GuardedResolver(trusted)
        )
        async with aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=settings.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield cls(settings, session, trusted)

    async def send(self, url: str, body: str, event_id: str) -> Answer:
        """POST `body` (JSON) to `url`, its query byte for byte as given."""
        if _leads_inside(host_of(url), self._trusted):
            return Answer(None, f"{host_of(url)} {INSIDE}")  # an address is not resolved
        headers = {"Content-Type": "application/json", **self._fixed, **self._proof(body, event_id)}
        try:
            async with self._session.post(
                URL(url, encoded=True),
                data=body.encode(),
                headers=headers,
                allow_redirects=False,
            ) as answer:
                return Answer(
                    answer.status,
                    "" if answer.status < 300 else f"answered {answer.status} {answer.reason}",
                    _seconds(answer.headers.get("Retry-After")),
                )
        except TimeoutError:
            return Answer(None, "no answer in time")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # The URL may be part of the text; its query is a secret.
            return Answer(None, str(error).replace(url, url.partition("?")[0]))

    def _proof(self, body: str, event_id: str) -> dict[str, str]:
        """Standard Webhooks headers (standardwebhooks.com); id and time even without a secret.

        With several secrets there is a signature of each: receivers take what any of theirs fits.
        """
        now = datetime.now(UTC)
        headers = {"webhook-id": event_id, "webhook-timestamp": str(int(now.timestamp()))}
        if self._webhooks:
            signatures = (webhook.sign(event_id, now, body) for webhook in self._webhooks)
            headers["webhook-signature"] = " ".join(signatures)
        return headers


class GuardedResolver(AbstractResolver):
    """Refuses names that lead into a private network, unless they are trusted."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._trusted = trusted
        self._inner = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._inner.resolve(host, port, family)
        name = host.removesuffix(".")
        if not is_allowed(name, self._trusted) and any(is_private(one["host"]) for one in found):
            raise PermissionError(errno.EACCES, f"{host} {INSIDE}")
        return found

    async def close(self) -> None:
        await self._inner.close()


def _leads_inside(host: str, trusted: Sequence[str]) -> bool:
    return is_private(host) and not is_allowed(host, trusted)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.isdecimal() else None
