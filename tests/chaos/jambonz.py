"""The simulated Jambonz with a caller: it posts hooks, and executes verbs as Jambonz does."""

import asyncio
import json
import re
import time
import uuid
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Any

from gateway.jambonz.signature import sign
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from tests.chaos.api_client import end_by_api
from tests.chaos.legs import Leg, OutsideLeg, State, stay_on_line
from tests.chaos.livekit import SimulatedLiveKit
from tests.chaos.network import HOOK_PAUSES, Request, Response
from tests.chaos.rooms import SipLeg
from tests.chaos.scenario import Ending
from tests.chaos.simulated_call import SimulatedCall
from tests.conftest import WEBHOOK_SECRET

#: The gateways' public URL; each request to it reaches any of them.
PUBLIC_URL = "http://gateways.example.com"
SIP_HOST = "sip.example.com"
#: How often a hook is to be repeated, as its URL says: `…#rc=5&rp=ct,5xx`.
_RETRIES = re.compile(r"#rc=(\d)&rp=ct,5xx$")
#: The call hook, and what follows its path in Jambonz's portal.
CALL_HOOK = "/livekit-api"
CALL_HOOK_RETRIES = "#rc=5&rp=ct,5xx"
_ROOM_URI = re.compile(rf"sip:(?P<room>[^@;]+)@{re.escape(SIP_HOST)};transport=tcp")

#: The share of calls to a fallback target that are answered.
FALLBACK_ANSWERS = 0.8

Verbs = list[dict[str, Any]]


class InboundCall(Jambonz):
    """One call from its INVITE on."""

    def __init__(self, call: SimulatedCall, livekit: SimulatedLiveKit) -> None:
        self._rng = call.random.generator("jambonz")
        super().__init__(
            session=call.network.session,
            url=PUBLIC_URL,
            secret=WEBHOOK_SECRET,
            from_number=f"+1555010{call.scenario.number % 10}",
            to_number="+15550199",
            call_sid=self._new_sid(),
            env_vars={"ACCOUNT_CODE": call.scenario.account_code},
        )
        self._call = call
        self._livekit = livekit
        self._has_hung_up = False
        self._is_answered = False
        self._is_hook_lost = False
        self._decline_status = 0
        self._verbs_after_refer: Verbs | None = None

    async def play(self) -> None:
        """The call, until the caller has hung up."""
        if self._call.scenario.ending is Ending.GIVES_UP:
            self._start(self._give_up(), "caller gives up")
        try:
            verbs = await self.call_arrives()
        except HookRefused as error:
            self._call.rejection = "480, the call hook failed"
            self._call.problems.append(f"the call hook got no verbs: {error}")
            return
        await self.status("trying", 100)
        await self._execute(verbs)
        await self._end()

    # What the caller does.

    async def _give_up(self) -> None:
        await asyncio.sleep(self._call.scenario.ringing_time)
        if not self._is_answered:
            self._hang_up()

    def _hang_up(self) -> None:
        self._has_hung_up = True
        self._call.changed()

    # What Jambonz does with verbs.

    async def _execute(self, verbs: Verbs) -> None:
        stack = deque(verbs)
        while stack and not self._has_hung_up:
            verb = stack.popleft()
            match verb["verb"]:
                case "dial":
                    if replacement := await self._dial(verb):
                        stack = deque(replacement)
                case "sip:decline" if not self._is_answered:
                    self._decline_status = verb["status"]
                    return
                case "hangup" if self._is_answered:
                    return
                case _:
                    self._call.problems.append(f"a verb that does not fit: {verb}")

    async def _end(self) -> None:
        """The caller has hung up, or no verb is left."""
        if self._is_answered:
            by = "caller" if self._has_hung_up else "jambonz"
            await self.status("completed", duration=1, call_termination_by=by)
        elif self._has_hung_up:
            self._call.rejection = "the caller gave up"
            await self.status("no-answer", 487)
        elif self._decline_status:
            self._call.rejection = str(self._decline_status)
            await self.status("failed", self._decline_status)
        else:
            reason = "a hook was lost" if self._is_hook_lost else "no verbs"
            self._call.rejection = f"603, {reason}"

    async def _dial(self, verb: Mapping[str, Any]) -> Verbs:
        """Connect the caller; the verbs that replace those that are left, if there are any."""
        self.far_sid = self._new_sid()
        leg = self._leg_to(verb["target"][0])
        await self.far_status("trying", 100)
        if leg is None:
            return await self._not_answered(verb, "busy", 486)
        if "referHook" in verb:
            leg.refer = lambda target: self._on_refer(verb["referHook"], target)
        await self.far_status("ringing", 180)
        await self._call.wait_until(
            lambda: self._has_hung_up or leg.state is not State.RINGING, limit=verb["timeout"]
        )
        if leg.was_active:
            return await self._talk(verb, leg)
        if leg.state is State.RINGING:
            return await self._cancel(verb, leg)
        status = "busy" if leg.sip_status == 486 else "failed"
        return await self._not_answered(verb, status, leg.sip_status)

    def _leg_to(self, target: Mapping[str, str]) -> Leg | None:
        """The telephone at `target`; None where LiveKit has no such room."""
        room = _ROOM_URI.fullmatch(target.get("sipUri", ""))
        if room:
            return self._livekit.invite(room["room"], f"sip_{self.from_number}")
        if target["type"] == "sip":
            sip_status = 200 if self._rng.random() < FALLBACK_ANSWERS else 486
        else:
            sip_status = self._call.scenario.target_status
        ringing_time = self._rng.uniform(0.05, 0.5)
        return OutsideLeg(self._call, ringing_time=ringing_time, sip_status=sip_status)

    async def _cancel(self, verb: Mapping[str, Any], leg: Leg) -> Verbs:
        """The caller has hung up, or the dial's ringing time is over."""
        if leg.is_silent and not self._has_hung_up:
            self._call.problems.append(f"rang for {verb['timeout']} s without an agent")
        leg.hang_up()
        return await self._not_answered(verb, "no-answer", 487)

    async def _not_answered(self, verb: Mapping[str, Any], status: str, sip_status: int) -> Verbs:
        await self.far_status(status, sip_status)
        call_status = "in-progress" if self._is_answered else "trying"
        if self._has_hung_up:
            call_status = "no-answer"
        return await self._post_dial_action(verb, call_status, status, sip_status)

    async def _talk(self, verb: Mapping[str, Any], leg: Leg) -> Verbs:
        await self.far_status("in-progress")
        if not self._is_answered:
            self._is_answered = True
            self._call.answered_rooms |= self._call.rooms
            self._call.is_answered_by_fallback = isinstance(leg, OutsideLeg)
            await self.status("in-progress")
        if await self._stay_on_line(leg):
            self._hang_up()
        verbs_after_refer, self._verbs_after_refer = self._verbs_after_refer, None
        leg.hang_up()
        await self.far_status("completed", duration=1)
        call_status = "completed" if self._has_hung_up else "in-progress"
        verbs = await self._post_dial_action(verb, call_status, "completed", 200)
        return verbs_after_refer or verbs

    async def _stay_on_line(self, leg: Leg) -> bool:
        """Talk until the leg is over or transferred; True if it is the caller who hangs up."""
        scenario = self._call.scenario
        caller_hangs_up = scenario.caller_hangs_up or not isinstance(leg, SipLeg)
        by_api = scenario.ending in {Ending.API_HANGUP, Ending.API_TRANSFER}
        if by_api and isinstance(leg, SipLeg):
            self._start(end_by_api(leg.room), "API client")
        return await stay_on_line(
            leg,
            lambda: leg.state is State.OVER or self._verbs_after_refer is not None,
            talking_time=scenario.talking_time if caller_hangs_up else None,
        )

    async def _post_dial_action(
        self, verb: Mapping[str, Any], call_status: str, dial_status: str, sip_status: int
    ) -> Verbs:
        """The verbs of the dial's action hook; if that fails Jambonz goes on without."""
        try:
            return await self.dial_ends(verb["actionHook"], call_status, dial_status, sip_status)
        except HookRefused:
            return []

    async def _on_refer(self, hook: str, target: str) -> int:
        """LiveKit sends a REFER; the refer hook decides. Returns the SIP status."""
        try:
            verbs = await self.refers(hook, f"<{target}>")
        except HookRefused:
            return 403
        if self._has_hung_up:
            return 481
        self._verbs_after_refer = verbs
        self._call.changed()
        return 202

    # How hooks are posted.

    async def _post(self, path: str, payload: Mapping[str, object]) -> None:
        """A status hook, to which Jambonz needs no response."""
        leg = "B" if "parent_call_sid" in payload else "A"
        request = _request(f"{leg} {payload['call_status']}", path, payload)
        self._start(self._call.sender.send_status_hook(request), request.name)

    async def _post_for_verbs(self, hook: str, payload: Mapping[str, object]) -> Verbs:
        hook = hook.removeprefix(self.url)
        if hook == CALL_HOOK:
            hook += CALL_HOOK_RETRIES
        verbs = await self._post_hook(hook, payload)
        if not isinstance(verbs, list):
            raise HookRefused(f"not an array of verbs: {verbs}")
        return verbs

    async def _post_hook(self, hook: str, payload: Mapping[str, object]) -> Any:
        path = hook.partition("#")[0]
        retries = _RETRIES.search(hook)
        is_call_hook = path == CALL_HOOK
        result = await self._call.sender.send_hook(
            _request(path.partition("?")[0], path, payload),
            attempts=1 + min(int(retries[1]), len(HOOK_PAUSES)) if retries else 1,
            may_fail=not is_call_hook,
        )
        if is_call_hook:
            self._check_same_call(result.all)
        if result.is_lost:
            self._is_hook_lost = True
        if result.response is None or not result.response.is_accepted:
            raise HookRefused(f"POST {path} answered {result.response}")
        return result.response.json() if result.response.text else None

    def _check_same_call(self, responses: list[Response]) -> None:
        """However often the call hook arrives, it is one call."""
        rooms = {room for response in responses for room in _ROOM_URI.findall(response.text)}
        if len(rooms) > 1:
            self._call.problems.append(f"one call_sid, several calls: {sorted(rooms)}")

    def _start(self, work: Coroutine[Any, Any, Any], name: str) -> None:
        self._call.tasks.start(work, f"{name} of {self._call.scenario.number}")

    def _new_sid(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))


def _request(name: str, path: str, payload: Mapping[str, object]) -> Request:
    return Request(name, path, json.dumps(payload).encode(), _headers)


def _headers(body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "jambonz",
        "Jambonz-Signature": sign(body, WEBHOOK_SECRET, at=int(time.time())),
    }
