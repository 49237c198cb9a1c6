"""The HTTP client of `doctor`: returns any response, and names the cause of a missing one."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp

from gateway.errors import ConfigError, GatewayError
from gateway.security.api_keys import OwnKeys, Role

#: How long a request may take, in s.
REQUEST_TIMEOUT = 5.0
#: How much of a body is read, in bytes; a call with its timeline and report is far smaller.
BODY_LIMIT = 4_194_304


class RequestFailed(GatewayError):
    """There was no response, or not the one that the gateway gives.

    `status` is the HTTP status, 0 without a response; `code` is the gateway's error code, if any.
    """

    def __init__(self, text: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, received `at` (s since epoch) after `took` s."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    at: float
    took: float


class HttpClient:
    """Sends requests to the gateway at `url`, and to other addresses."""

    def __init__(self, session: aiohttp.ClientSession, keys: OwnKeys, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = session
        self._keys = keys

    @classmethod
    @asynccontextmanager
    async def opened(cls, keys: OwnKeys, url: str) -> AsyncIterator[Self]:
        timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT)
        async with aiohttp.ClientSession(
            timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield cls(session, keys, url)

    async def request(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Response:
        """The response, whatever its status; redirects are not followed. Raises RequestFailed."""
        began = time.monotonic()
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as response:
                took = time.monotonic() - began
                content = await response.content.read(BODY_LIMIT)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RequestFailed(cause_of_failure(url, error)) from error
        return Response(response.status, content, response.headers, time.time(), took)

    async def upgrade(self, url: str, subprotocol: str, authorization: str) -> int:
        """The status of opening a WebSocket: 101 if it opens. Raises RequestFailed."""
        headers = {"Authorization": authorization} if authorization else {}
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                socket = await self._session.ws_connect(
                    url, protocols=(subprotocol,), headers=headers
                )
                await socket.close()
        except aiohttp.WSServerHandshakeError as error:
            return error.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise RequestFailed(cause_of_failure(url, error)) from error
        return 101

    def key_if_any(self) -> Mapping[str, str]:
        """The header of an API key that may read; none without one."""
        try:
            return self._keys.header(Role.READ)
        except ConfigError:
            return {}

    async def gateway(self, path: str) -> Mapping[str, Any]:
        """The JSON object at the gateway's `path`, requested with a key that may read.

        Raises RequestFailed, also for an error response.
        """
        url = f"{self.url}{path}"
        try:
            headers = self._keys.header(Role.READ)
        except ConfigError as error:
            raise RequestFailed(f"{url} needs an API key: {error}", status=401) from error
        response = await self.request(url, headers=headers)
        content = read_object(response.body)
        if response.status == 200 and content is not None:
            return content
        details = content or {}
        text = f"{url} answers {response.status} {details.get('message', '')}".rstrip()
        raise RequestFailed(text, status=response.status, code=str(details.get("error", "")))


def read_object(body: bytes) -> Mapping[str, Any] | None:
    """A JSON object; None if `body` is anything else."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def cause_of_failure(url: str, error: Exception) -> str:
    """Why there is no response from `url`: its name, its port, TLS, or time."""
    place = host_of(url)
    match error:
        case aiohttp.InvalidURL():
            text = f"{url!r} is not an address"
        case aiohttp.ClientConnectorDNSError():
            text = f"the name {urlsplit(url).hostname} has no address"
        case aiohttp.ClientConnectorCertificateError():
            text = f"the certificate of {place} is not valid: {_certificate_problem(error)}"
        case aiohttp.ClientSSLError():
            text = f"{place} does not speak TLS"
        case aiohttp.ClientConnectorError():
            text = f"{place} {_connection_problem(error.os_error)}"
        case TimeoutError():
            text = f"{place} does not answer within {REQUEST_TIMEOUT:g} s"
        case _:
            text = f"{place} does not answer: {error or type(error).__name__}"
    return text


def _connection_problem(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections: nothing listens there"
    return f"accepts no connections: {error.strerror or error}"


def host_of(url: str) -> str:
    """Host and port as `url` has them, without what may be secret."""
    return urlsplit(url).netloc.rpartition("@")[2] or url


def _certificate_problem(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)
