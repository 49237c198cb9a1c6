"""A simulated Jambonz: posts hooks as jambonz-feature-server 0.9.8 does, signed with its secret."""

import json
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from gateway.calls.destinations import Credentials
from gateway.errors import GatewayError
from gateway.jambonz import basic_auth
from gateway.jambonz.signature import sign


class HookRefused(GatewayError):
    """The gateway did not answer a hook as Jambonz expects."""


@dataclass
class Jambonz:
    """One call at Jambonz: the A leg comes from the caller, the B leg leads to LiveKit.

    `url` is the gateway's. `secret` signs the hooks; "" for none. `env_vars` and `credentials`
    (basic authentication) are those of the Jambonz application, `headers` those of the INVITE. Each
    method raises HookRefused if the gateway does not answer as Jambonz expects.
    """

    session: aiohttp.ClientSession
    url: str
    secret: str
    from_number: str
    to_number: str
    call_sid: str = field(default_factory=lambda: str(uuid.uuid4()))
    far_sid: str = field(default_factory=lambda: str(uuid.uuid4()))
    env_vars: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    direction: str = "inbound"
    credentials: Credentials | None = None

    async def call_arrives(self) -> list[dict[str, Any]]:
        """Post the call hook; returns the verbs, at least one."""
        headers = {"from": f"<sip:{self.from_number}@sbc.example>", "X-Account-Sid": "acc"}
        sip = {"headers": {**headers, **self.headers}, "method": "INVITE", "version": "2.0"}
        details = {"sip": sip, "caller_name": "Simulated", "env_vars": self.env_vars}
        return await self._call_hook({**self._leg("trying", 100), **details})

    async def redirects(self) -> list[dict[str, Any]]:
        """Post the call hook for a caller who was answered before, as a `redirect` does."""
        return await self._call_hook(self._leg("in-progress", 200))

    async def _call_hook(self, payload: Mapping[str, object]) -> list[dict[str, Any]]:
        verbs = await self._post_for_verbs("/livekit-api", payload)
        if not verbs or "verb" not in verbs[0]:
            raise HookRefused(f"the call hook needs at least one verb: {verbs}")
        return verbs

    async def status(self, call_status: str, sip_status: int = 200, **more: object) -> None:
        """Post a call status hook of the A leg; `more` are further fields."""
        leg = self._leg(call_status, sip_status)
        await self._post("/livekit-api/call-status", {**leg, **more})

    async def far_status(self, call_status: str, sip_status: int = 200, **more: object) -> None:
        """Post a call status hook of the B leg; `more` are further fields."""
        await self._post(
            "/livekit-api/call-status", {**self._far_leg(call_status, sip_status), **more}
        )

    async def dial_ends(
        self, hook: str, call_status: str, dial_status: str, sip_status: int
    ) -> list[dict[str, Any]]:
        """Post the action hook of the `dial`; returns the verbs to continue with."""
        return await self._post_for_verbs(
            hook,
            {
                **self._leg(call_status, 200),
                "dial_call_status": dial_status,
                "dial_sip_status": sip_status,
                "dial_call_sid": self.far_sid,
            },
        )

    async def refers(self, hook: str, refer_to: str) -> list[dict[str, Any]]:
        """Post the refer hook of the `dial`: the B leg sent a REFER with this Refer-To."""
        details = {
            "sip_refer_to": refer_to,
            "sip_referred_by": "undefined",
            "referring_call_sid": self.far_sid,
            "referred_call_sid": self.call_sid,
        }
        leg = self._far_leg("in-progress", 200)
        return await self._post_for_verbs(hook, {**leg, "refer_details": details})

    async def confirms(self, hook: str) -> list[dict[str, Any]]:
        """Post the confirm hook of a `dial`: the B leg has answered; returns what it hears."""
        return await self._post_for_verbs(hook, self._far_leg("in-progress", 200))

    async def presses(self, hook: str, digits: str) -> list[dict[str, Any]]:
        """Post the action hook of the B leg's `gather`; "" for no key in time."""
        keys = {"digits": digits, "reason": "dtmfDetected"} if digits else {"reason": "timeout"}
        return await self._post_for_verbs(hook, {**self._far_leg("in-progress", 200), **keys})

    async def waits(self, hook: str) -> list[dict[str, Any]]:
        """Post the wait hook of an `enqueue`; returns the verbs that the caller hears."""
        return await self._post_for_verbs(
            hook, {"queue_sid": "queue", "queue_time": 1, "call_sid": self.call_sid}
        )

    async def queue_ends(self, hook: str, call_status: str, result: str) -> list[dict[str, Any]]:
        """Post the action hook of an `enqueue`; returns the verbs to continue with."""
        queue = {"queue_sid": "queue", "queue_time": 1, "queue_result": result}
        return await self._post_for_verbs(hook, {**self._leg(call_status, 200), **queue})

    async def _post_for_verbs(
        self, hook: str, payload: Mapping[str, object]
    ) -> list[dict[str, Any]]:
        verbs = await self._post(hook.removeprefix(self.url).partition("#")[0], payload)
        if not isinstance(verbs, list):
            raise HookRefused(f"not an array of verbs: {verbs}")
        return verbs

    def _leg(self, call_status: str, sip_status: int) -> Mapping[str, object]:
        return {
            "call_sid": self.call_sid,
            "direction": self.direction,
            "from": self.from_number,
            "to": self.to_number,
            "call_id": f"{self.call_sid}@sbc.example",
            "account_sid": "simulated",
            "application_sid": "simulated",
            "originating_sip_ip": "192.0.2.1",
            "call_status": call_status,
            "sip_status": sip_status,
            "sip_reason": "",
        }

    def _far_leg(self, call_status: str, sip_status: int) -> Mapping[str, object]:
        return {
            **self._leg(call_status, sip_status),
            "call_sid": self.far_sid,
            "parent_call_sid": self.call_sid,
            "direction": "outbound",
        }

    async def _post(self, path: str, payload: Mapping[str, object]) -> Any:
        body = json.dumps(payload).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "jambonz"}
        if self.secret:
            headers["Jambonz-Signature"] = sign(body, self.secret, at=int(time.time()))
        if self.credentials:
            headers["Authorization"] = basic_auth.encode(self.credentials)
        async with self.session.post(f"{self.url}{path}", data=body, headers=headers) as response:
            text = await response.text()
            # To Jambonz every other status is an error, 201 and redirects included.
            if response.status not in {200, 202, 204}:
                raise HookRefused(f"POST {path} answered {response.status}: {text}")
            return json.loads(text) if text else None
