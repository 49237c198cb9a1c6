"""Jambonz with a caller on the line: posts hooks, carries out verbs as its feature server does."""

import asyncio
import json
import re
import time
import uuid
from collections import deque
from collections.abc import Mapping
from typing import Any

from gateway.jambonz.signature import sign
from gateway.tools.simulate.jambonz import HookRefused, Jambonz
from tests.chaos.legs import Desk, Leg, State, stay
from tests.chaos.livekit import BusyLiveKit
from tests.chaos.mail import PAUSES, Answer, Letter
from tests.chaos.ops import end_it
from tests.chaos.rooms import RoomLeg
from tests.chaos.scene import Scene
from tests.chaos.script import Ending
from tests.conftest import WEBHOOK_SECRET

#: Where the gateways are for the outside; whoever posts there meets any of them.
PUBLIC_URL = "http://gateways.example.com"
SIP_HOST = "sip.example.com"
#: What a hook's URL says of repeating it: `…#rc=3&rp=ct,5xx`.
_RETRY = re.compile(r"#rc=(\d)&rp=ct,5xx$")
#: The portal's URL for the call hook, as the documentation wants it.
CALL_HOOK = "/livekit-api"
_ROOM_URI = re.compile(rf"sip:(?P<room>[^@;]+)@{re.escape(SIP_HOST)};transport=tcp")

#: How often somebody answers where callers fall back to.
DESK_ANSWERS = 0.8

Verbs = list[dict[str, Any]]


class InboundCall(Jambonz):
    """One call from its INVITE on. `is_gone`: the caller has hung up."""

    def __init__(self, scene: Scene, livekit: BusyLiveKit) -> None:
        roll = scene.dice.of("jambonz")
        self._roll = roll
        super().__init__(
            session=scene.network.session,
            url=PUBLIC_URL,
            secret=WEBHOOK_SECRET,
            from_number=f"+1555010{scene.script.number % 10}",
            to_number="+15550199",
            call_sid=self._sid(),
            env_vars={"ACCOUNT_CODE": scene.script.account_code},
        )
        self._scene = scene
        self._livekit = livekit
        self.is_gone = False
        self._is_answered = False
        self._missed = False
        self._declined = 0
        self._next: Verbs | None = None

    async def play(self) -> None:
        """The call, until the caller's telephone is back on its hook."""
        if self._scene.script.ending is Ending.GIVES_UP:
            self._beside(self._give_up(), "gives up")
        try:
            verbs = await self.call_arrives()
        except HookRefused as refusal:
            self._scene.refusal = "480, the call hook failed"
            self._scene.complaints.append(f"the call hook was not answered: {refusal}")
            return
        await self.status("trying", 100)
        await self._carry_out(verbs)
        await self._hang_up()

    # What the caller does.

    async def _give_up(self) -> None:
        await asyncio.sleep(self._scene.script.ring)
        if not self._is_answered:
            self._leave()

    def _leave(self) -> None:
        self.is_gone = True
        self._scene.changed()

    # What Jambonz does with verbs.

    async def _carry_out(self, verbs: Verbs) -> None:
        stack = deque(verbs)
        while stack and not self.is_gone:
            verb = stack.popleft()
            match verb["verb"]:
                case "dial":
                    if instead := await self._dial(verb):
                        stack = deque(instead)
                case "sip:decline" if not self._is_answered:
                    self._declined = verb["status"]
                    return
                case "hangup" if self._is_answered:
                    return
                case _:
                    self._scene.complaints.append(f"verb out of place: {verb}")

    async def _hang_up(self) -> None:
        """No verb is left, or nobody to carry one out for."""
        if self._is_answered:
            by = "caller" if self.is_gone else "jambonz"
            await self.status("completed", duration=1, call_termination_by=by)
        elif self.is_gone:
            self._scene.refusal = "the caller gave up"
            await self.status("no-answer", 487)
        elif self._declined:
            self._scene.refusal = str(self._declined)
            await self.status("failed", self._declined)
        else:
            self._scene.refusal = "603, unheard" if self._missed else "603, nothing to do"

    async def _dial(self, verb: Mapping[str, Any]) -> Verbs:
        """Connect the caller with somebody; what to do after that instead of what was next."""
        self.far_sid = self._sid()
        leg = self._reached(verb["target"][0])
        await self.far_status("trying", 100)
        if leg is None:
            return await self._unanswered(verb, "busy", 486)
        if "referHook" in verb:
            leg.refer = lambda target: self._referred(verb["referHook"], target)
        await self.far_status("ringing", 180)
        await self._scene.until(
            lambda: self.is_gone or leg.state is not State.RINGING, within=verb["timeout"]
        )
        if leg.was_active:
            return await self._talk(verb, leg)
        if leg.state is State.RINGING:
            return await self._canceled(verb, leg)
        return await self._unanswered(verb, "busy" if leg.sip == 486 else "failed", leg.sip)

    def _reached(self, target: Mapping[str, str]) -> Leg | None:
        """The telephone at `target`; None where LiveKit has no such room."""
        room = _ROOM_URI.fullmatch(target.get("sipUri", ""))
        if room:
            return self._livekit.invite(room["room"], f"sip_{self.from_number}")
        fallback = 200 if self._roll.random() < DESK_ANSWERS else 486
        sip = fallback if target["type"] == "sip" else self._scene.script.target
        return Desk(self._scene, rings=self._roll.uniform(0.05, 0.5), sip=sip)

    async def _canceled(self, verb: Mapping[str, Any], leg: Leg) -> Verbs:
        """Nobody has answered: the caller has had enough, or the dial's time is up."""
        if leg.is_silent and not self.is_gone:
            self._scene.complaints.append(f"rang for {verb['timeout']} s for no agent")
        leg.hang_up()
        return await self._unanswered(verb, "no-answer", 487)

    async def _unanswered(self, verb: Mapping[str, Any], status: str, sip: int) -> Verbs:
        await self.far_status(status, sip)
        how_it_stands = "in-progress" if self._is_answered else "trying"
        return await self._acted(verb, "no-answer" if self.is_gone else how_it_stands, status, sip)

    async def _talk(self, verb: Mapping[str, Any], leg: Leg) -> Verbs:
        await self.far_status("in-progress")
        if not self._is_answered:
            self._is_answered = True
            self._scene.answered |= self._scene.rooms
            self._scene.is_answered_elsewhere = isinstance(leg, Desk)
            await self.status("in-progress")
        script = self._scene.script
        if isinstance(leg, RoomLeg) and script.ending in {Ending.OPS_HANG_UP, Ending.OPS_TRANSFER}:
            self._beside(end_it(leg.room), "ops")
        is_ended_by_caller = not isinstance(leg, RoomLeg) or script.caller_hangs_up
        talk = script.talk if is_ended_by_caller else None
        if await stay(leg, lambda: leg.state is State.OVER or self._next is not None, talk=talk):
            self._leave()
        handed_on, self._next = self._next, None
        leg.hang_up()
        await self.far_status("completed", duration=1)
        status = "completed" if self.is_gone else "in-progress"
        then = await self._acted(verb, status, "completed", 200)
        return handed_on or then

    async def _acted(self, verb: Mapping[str, Any], status: str, dial: str, sip: int) -> Verbs:
        """The dial's action hook; what it fails with is as good as `[]`."""
        try:
            return await self.dial_ends(verb["actionHook"], status, dial, sip)
        except HookRefused:
            return []

    async def _referred(self, hook: str, target: str) -> int:
        """LiveKit's REFER: the hook says what becomes of it, and of the caller."""
        try:
            verbs = await self.refers(hook, f"<{target}>")
        except HookRefused:
            return 403
        if self.is_gone:
            return 481
        self._next = verbs
        self._scene.changed()
        return 202

    # What is posted.

    async def _post(self, path: str, content: Mapping[str, object]) -> Any:
        leg = "B" if "parent_call_sid" in content else "A"
        letter = _letter(f"{leg} {content['call_status']}", path, content)
        self._beside(self._scene.mail.tell(letter), letter.name)

    async def _post_for_verbs(self, hook: str, content: Mapping[str, object]) -> Verbs:
        # As docs/ have the application's calling webhook; other hooks carry the same mark.
        url = f"{hook}#rc=3&rp=ct,5xx" if hook == CALL_HOOK else hook.removeprefix(self.url)
        verbs = await self._ask(url, content)
        if not isinstance(verbs, list):
            raise HookRefused(f"not a list of verbs: {verbs}")
        return verbs

    async def _ask(self, hook: str, content: Mapping[str, object]) -> Any:
        path = hook.partition("#")[0]
        again = _RETRY.search(hook)
        is_first = path == CALL_HOOK
        replies = await self._scene.mail.ask(
            _letter(path.partition("?")[0], path, content),
            tries=1 + min(int(again[1]), len(PAUSES)) if again else 1,
            may_fail=not is_first,
        )
        if is_first:
            self._same_call(replies.all)
        if replies.needs_recovery:
            self._missed = True
        if replies.used is None or not replies.used.is_taken:
            raise HookRefused(f"POST {path} answered {replies.used}")
        return replies.used.json() if replies.used.text else None

    def _same_call(self, answers: list[Answer]) -> None:
        """However often the hook comes, it is one call."""
        named = {room for answer in answers for room in _ROOM_URI.findall(answer.text)}
        if len(named) > 1:
            self._scene.complaints.append(f"one call_sid, several calls: {sorted(named)}")

    def _beside(self, work: Any, what: str) -> None:
        self._scene.crew.start(work, f"{what} of {self._scene.script.number}")

    def _sid(self) -> str:
        return str(uuid.UUID(int=self._roll.getrandbits(128), version=4))


def _letter(name: str, path: str, content: Mapping[str, object]) -> Letter:
    return Letter(name, path, json.dumps(content).encode(), _headers)


def _headers(body: bytes) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "jambonz",
        "Jambonz-Signature": sign(body, WEBHOOK_SECRET, at=int(time.time())),
    }
