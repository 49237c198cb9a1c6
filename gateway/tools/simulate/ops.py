"""The gateway as ops see it, asked about one call; and what it takes to be the SIP leg of one."""

import asyncio
from typing import Any

import aiohttp

from gateway.config.settings import Config
from gateway.errors import ConfigError, GatewayError
from gateway.livekit.tokens import caller_token
from gateway.security.api_keys import OwnKeys, Role


class AnswerRefused(GatewayError):
    """The gateway did not answer as it should; the text has its answer."""


def check_livekit(config: Config) -> None:
    """Raises ConfigError when there is no LiveKit that a simulated telephone could join."""
    if not (config.livekit.url and config.livekit.api_key and config.livekit.api_secret):
        raise ConfigError(
            ["there is no LiveKit to call: start `make run` first, or set LIVEKIT_URL and its key"]
        )


def sip_token(config: Config, room: str, number: str) -> str:
    """What livekit-sip's participant for `number` would join `room` with, answered."""
    return caller_token(
        config.livekit.api_key,
        config.livekit.api_secret,
        room=room,
        identity=f"sip_{number}",
        attributes={
            "sip.phoneNumber": number,
            "sip.trunkPhoneNumber": room,
            "sip.callStatus": "active",
        },
    )


class Ops:
    """Asks the gateway at `url` about one call."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, keys: OwnKeys, call_id: str
    ) -> None:
        self._session = session
        self._url = f"{url}/livekit-api/calls/{call_id}"
        self._headers = keys.header(Role.READ)
        self.call_id = call_id

    async def call(self) -> dict[str, Any]:
        async with self._session.get(self._url, headers=self._headers) as answer:
            if answer.status != 200:
                raise AnswerRefused(f"answered {answer.status}: {await answer.text()}")
            call: dict[str, Any] = await answer.json()
        return call

    async def shows(self, *statuses: str) -> dict[str, Any]:
        """Ask until the call has one of `statuses`; the call."""
        while True:
            call = await self.call()
            if call["call_status"] in statuses:
                return call
            await asyncio.sleep(0.05)


def reason(call: dict[str, Any]) -> str:
    """How an ended call ended, in a few words."""
    sip = call["sip"]
    answered = f", SIP {sip['status']} {sip['reason']}" if sip else ""
    return f"{call['disconnection_reason']} after {call['duration_ms']} ms{answered}"
