"""The gateway's API as n8n and ops use it: dispatch a call, read its status, hang it up."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import aiohttp

from gateway.calls.call import TERMINAL_STATUSES, CallStatus
from gateway.errors import GatewayError
from gateway.security.api_keys import OwnKeys, Role

#: How long to wait between two requests for a call's status, in s.
POLL_INTERVAL = 0.05


class UnexpectedResponse(GatewayError):
    """The gateway answered with an error; the text quotes it."""


class CallFailed(GatewayError):
    """The call ended without a conversation; the text says how."""


class GatewayApi:
    """The gateway at `url`. Raises UnexpectedResponse, aiohttp.ClientError."""

    def __init__(self, session: aiohttp.ClientSession, url: str, keys: OwnKeys) -> None:
        self._session = session
        self._url = url
        self._keys = keys

    async def dispatch(self, body: Mapping[str, object]) -> dict[str, Any]:
        """The response of `POST /dispatch`: `call_id`, `dispatch_id`, `job_id`."""
        return await self._request("POST", "/dispatch", Role.DISPATCH, body)

    async def hang_up(self, call_id: str) -> dict[str, Any]:
        return await self._request(
            "POST", f"/livekit-api/calls/{call_id}/hangup", Role.DISPATCH, {}
        )

    async def call(self, call_id: str) -> dict[str, Any]:
        """The call's JSON object."""
        return await self._request("GET", f"/livekit-api/calls/{call_id}", Role.READ)

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
        self, method: str, path: str, role: Role, body: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        async with self._session.request(
            method, f"{self._url}{path}", json=body, headers=self._keys.header(role)
        ) as response:
            if response.status != 200:
                message = _message(await response.text())
                raise UnexpectedResponse(f"answered {response.status}: {message}")
            content: dict[str, Any] = await response.json()
        return content


def _message(text: str) -> str:
    """The `message` of the gateway's error; the text itself if something else answered."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, TypeError, KeyError):
        return text


def outcome(call: Mapping[str, Any]) -> str:
    """How a call ended: reason, duration, SIP status if there was one."""
    sip = call["sip"]
    sip_status = f", SIP {sip['status']} {sip['reason']}" if sip else ""
    return f"{call['disconnection_reason']} after {call['duration_ms']} ms{sip_status}"
