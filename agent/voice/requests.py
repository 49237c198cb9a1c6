"""Requests of tools and lookups: to allowed hosts only, signed, bounded in time and size."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from agent.context import CallContext
from agent.profiles.hosts import HostPolicy
from common.guarded_resolver import GuardedResolver
from common.http_failures import failure_of, reason_of
from common.resolver import Resolver
from common.signing import Signer
from common.urls import UrlRejected

#: The longest answer, in bytes: it goes to the model, which reads it before it speaks.
MAX_ANSWER = 8192


class RequestFailed(Exception):
    """The text says why, in words that hold nothing secret."""


@dataclass(frozen=True, slots=True)
class Requests:
    """`post()` connects anew each time: of a call's few requests none may be late for another."""

    hosts: HostPolicy
    signer: Signer

    async def post(
        self,
        url: str,
        content: Mapping[str, object],
        *,
        message_id: str,
        headers: Mapping[str, str],
        timeout: float,  # noqa: ASYNC109 - it is the request's, and its failure names it
    ) -> str:
        """The answer's text. `timeout` in s. Raises RequestFailed. Redirects are not followed.

        A receiver that gets one `message_id` twice has done the work already.
        """
        body = json.dumps(content)
        signed = {
            **headers,
            "Content-Type": "application/json",
            **self.signer.headers(message_id, body),
        }
        try:
            async with (
                session_to(url, self.hosts, aiohttp.ClientTimeout(total=timeout)) as session,
                session.post(
                    URL(url, encoded=True), data=body, headers=signed, allow_redirects=False
                ) as response,
            ):
                return await _answer(response)
        except UrlRejected as error:
            raise RequestFailed(str(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RequestFailed(reason_of(error, timeout)) from error


@asynccontextmanager
async def session_to(
    url: str,
    hosts: HostPolicy,
    timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the session's
) -> AsyncIterator[aiohttp.ClientSession]:
    """For requests to `url`, if `hosts` allows it and each address of its. Raises UrlRejected."""
    hosts.check(url)
    async with Resolver() as resolver:
        guarding = resolver if hosts.trusts(url) else GuardedResolver(resolver, hosts)
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(use_dns_cache=False, resolver=guarding),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=timeout,
        ) as session:
            yield session


def call_view(call: CallContext) -> dict[str, object]:
    """What tools and lookups get to know about the call."""
    return {
        "call_id": call.call_id,
        "direction": call.direction,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "account_code": call.metadata.get("account_code", ""),
        "metadata": call.metadata,
    }


async def _answer(response: aiohttp.ClientResponse) -> str:
    if failure := failure_of(response.status):
        raise RequestFailed(failure)
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_ANSWER:
            raise RequestFailed(f"the answer is longer than {MAX_ANSWER} bytes")
    return body.decode(errors="replace").strip()
