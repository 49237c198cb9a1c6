"""HTTP as the doctor needs it: any answer is welcome, and where none comes it says why."""

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

#: How long anybody may take to answer a request, in s.
ANSWER_LIMIT = 5.0
#: How much of an answer is read, in bytes: a call with its timeline and report is far smaller.
READ_LIMIT = 4_194_304


class NoAnswer(GatewayError):
    """Nobody answered, or not as our gateway would.

    `status` is the HTTP status, 0 without one, `code` the gateway's word for what is wrong.
    """

    def __init__(self, text: str, *, status: int = 0, code: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. It came `at` (s since epoch) and `took` that long (s)."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    at: float
    took: float


class Web:
    """Asks the gateway at `url`, and others."""

    def __init__(self, session: aiohttp.ClientSession, keys: OwnKeys, url: str) -> None:
        self.url = url.rstrip("/")
        self._session = session
        self._keys = keys

    @classmethod
    @asynccontextmanager
    async def opened(cls, keys: OwnKeys, url: str) -> AsyncIterator[Self]:
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=ANSWER_LIMIT), cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            yield cls(session, keys, url)

    async def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Whatever answers; redirects are not followed. Raises NoAnswer."""
        began = time.monotonic()
        try:
            async with self._session.request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                took = time.monotonic() - began
                content = await answer.content.read(READ_LIMIT)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise NoAnswer(why(url, error)) from error
        return Answer(answer.status, content, answer.headers, time.time(), took)

    async def gateway(self, path: str) -> Mapping[str, Any]:
        """What the gateway answers at `path` to somebody who may read. Raises NoAnswer."""
        url = f"{self.url}{path}"
        try:
            headers = self._keys.header(Role.READ)
        except ConfigError as error:
            raise NoAnswer(f"{url} cannot be asked: {error}", status=401) from error
        answer = await self.ask(url, headers=headers)
        content = read_object(answer.body)
        if answer.status == 200 and content is not None:
            return content
        told = content or {}
        text = f"{url} answers {answer.status} {told.get('message', '')}".rstrip()
        raise NoAnswer(text, status=answer.status, code=str(told.get("error", "")))


def read_object(body: bytes) -> Mapping[str, Any] | None:
    """A JSON object, None for anything else."""
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def why(url: str, error: Exception) -> str:
    """What kept `url` from answering: name, port and TLS told apart."""
    where = place(url)
    match error:
        case aiohttp.InvalidURL():
            text = f"{url!r} is not an address"
        case aiohttp.ClientConnectorDNSError():
            text = f"the name {urlsplit(url).hostname} has no address"
        case aiohttp.ClientConnectorCertificateError():
            text = f"the certificate of {where} is not valid: {_complaint(error)}"
        case aiohttp.ClientSSLError():
            text = f"{where} does not speak TLS"
        case aiohttp.ClientConnectorError():
            text = f"{where} {_no_connection(error.os_error)}"
        case TimeoutError():
            text = f"{where} does not answer within {ANSWER_LIMIT:g} s"
        case _:
            text = f"{where} does not answer: {error or type(error).__name__}"
    return text


def _no_connection(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refuses connections: nothing listens there"
    return f"takes no connections: {error.strerror or error}"


def place(url: str) -> str:
    """Host and port as `url` has them: what may be shown of it."""
    return urlsplit(url).netloc.rpartition("@")[2] or url


def _complaint(error: aiohttp.ClientConnectorCertificateError) -> str:
    cause = error.certificate_error
    return cause.verify_message if isinstance(cause, ssl.SSLCertVerificationError) else str(cause)
