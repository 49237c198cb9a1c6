"""The gateway's API as n8n and ops use it: calls, what is done about them, and their changes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Self
from urllib.parse import quote

import aiohttp

from gateway.calls.call import TERMINAL_STATUSES, CallStatus
from gateway.errors import GatewayError
from gateway.security.api_keys import OwnKeys, Role
from gateway.tools.server_sent_events import Message, messages

#: How long to wait between two requests for a call's status, in s.
POLL_INTERVAL = 0.05
#: A request: a transfer waits for its REFER, so it may take longer than a connection may.
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=10)
#: A stream: it may be silent for so long, since the gateway sends a comment every 15 s.
STREAM_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=40)
#: How long a line of a stream may be, in bytes: a call with its report in one event.
LINE_LIMIT = 4_194_304
NOT_RUNNING = "start the gateway (`make run`), or give its address with --url"
Query = Mapping[str, str]


class UnexpectedResponse(GatewayError):
    """The gateway answered with an error; the text has its HTTP `status` and its `message`."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"answered {status}: {message}")
        self.status = status
        self.message = message


class CallFailed(GatewayError):
    """The call ended without a conversation; the text says how."""


class GatewayApi:
    """The gateway at `url`. Raises UnexpectedResponse, aiohttp.ClientError, TimeoutError."""

    def __init__(self, session: aiohttp.ClientSession, url: str, keys: OwnKeys) -> None:
        self._session = session
        self._url = url
        self._keys = keys

    @classmethod
    @asynccontextmanager
    async def opened(cls, url: str, keys: OwnKeys) -> AsyncIterator[Self]:
        async with aiohttp.ClientSession(
            timeout=REQUEST_TIMEOUT, read_bufsize=LINE_LIMIT
        ) as session:
            yield cls(session, url, keys)

    async def dispatch(self, body: Mapping[str, object]) -> dict[str, Any]:
        """The response of `POST /dispatch`: `call_id`, `dispatch_id`, `job_id`."""
        return await self._request("POST", "/dispatch", Role.DISPATCH, body=body)

    async def hang_up(self, call_id: str) -> dict[str, Any]:
        """The call's JSON object after it was ended."""
        return await self._request("POST", f"{_path(call_id)}/hangup", Role.DISPATCH, body={})

    async def transfer(self, call_id: str, body: Mapping[str, object]) -> dict[str, Any]:
        """The call's JSON object once the transfer has begun."""
        return await self._request("POST", f"{_path(call_id)}/transfer", Role.DISPATCH, body=body)

    async def call(self, call_id: str) -> dict[str, Any]:
        """The call's JSON object."""
        return await self._request("GET", _path(call_id), Role.READ)

    async def calls(self, query: Query) -> dict[str, Any]:
        """A page of the list: `calls`, `active`, `next_cursor`."""
        # An idempotency key is known to the API key that has dispatched with it.
        role = Role.DISPATCH if "idempotency_key" in query else Role.READ
        return await self._request("GET", "/livekit-api/calls", role, query=query)

    @asynccontextmanager
    async def export(self, form: str, query: Query) -> AsyncIterator[AsyncIterator[bytes]]:
        """Calls as `jsonl` or `csv`, in pieces; one that is not whole ends with an error."""
        async with self._session.get(
            f"{self._url}/livekit-api/export.{form}",
            params=query,
            headers=self._keys.header(Role.READ),
            timeout=STREAM_TIMEOUT,
        ) as response:
            await _check(response)
            yield response.content.iter_any()

    @asynccontextmanager
    async def events(self, last_id: str) -> AsyncIterator[AsyncIterator[Message]]:
        """The changes after the event `last_id`, or from now on, until the connection ends."""
        headers = dict(self._keys.header(Role.READ))
        headers |= {"Last-Event-ID": last_id} if last_id else {}
        async with self._session.get(
            f"{self._url}/livekit-api/events", headers=headers, timeout=STREAM_TIMEOUT
        ) as response:
            await _check(response)
            yield messages(response.content)

    async def wait_for_status(self, call_id: str, *statuses: str) -> dict[str, Any]:
        """Poll until the call has one of `statuses`; returns its JSON object."""
        while True:
            call = await self.call(call_id)
            if call["call_status"] in statuses:
                return call
            await asyncio.sleep(POLL_INTERVAL)

    async def ended_call(self, call_id: str) -> dict[str, Any]:
        """The call's JSON object after its end. Raises CallFailed unless it was answered."""
        call = await self.wait_for_status(call_id, *TERMINAL_STATUSES)
        if call["call_status"] != CallStatus.ENDED:
            raise CallFailed(f"as {call['call_status']}: {outcome(call)}")
        return call

    async def _request(
        self,
        method: str,
        path: str,
        role: Role,
        *,
        body: Mapping[str, object] | None = None,
        query: Query | None = None,
    ) -> dict[str, Any]:
        async with self._session.request(
            method, f"{self._url}{path}", json=body, params=query, headers=self._keys.header(role)
        ) as response:
            await _check(response)
            content: dict[str, Any] = await response.json()
        return content


def _path(call_id: str) -> str:
    return f"/livekit-api/calls/{quote(call_id, safe='')}"


async def _check(response: aiohttp.ClientResponse) -> None:
    """Raises UnexpectedResponse for an error."""
    if response.status != 200:
        raise UnexpectedResponse(response.status, _message(await response.text()))


def _message(text: str) -> str:
    """The `message` of the gateway's error with its details; `text` if something else answered."""
    try:
        content = json.loads(text)
        details = content.get("details")
        return f"{content['message']} {json.dumps(details) if details else ''}".rstrip()
    except (ValueError, TypeError, KeyError, AttributeError):
        return text


def outcome(call: Mapping[str, Any]) -> str:
    """How a call ended: reason, duration, SIP status if there was one."""
    sip = call["sip"]
    sip_status = f", SIP {sip['status']} {sip['reason']}" if sip else ""
    return f"{call['disconnection_reason']} after {call['duration_ms']} ms{sip_status}"
