"""What a whole call costs a gateway: every request about it, its callbacks, and its end."""

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
from livekit.protocol.models import ParticipantInfo, TrackInfo, TrackType

from bench.hooks import cpu_time
from bench.processes import SECRET, Server
from bench.result import Result
from gateway.tools.simulate.jambonz import Jambonz
from tests.fakes.receiver import Receiver
from tests.fakes.webhooks import authorization, webhook

CALLS = 150
#: Calls before them, which warm the gateway up.
WARM_UP = 30
#: Calls at a time, and of those that only wait.
AT_ONCE = 8
WAITING_AT_ONCE = 60
#: How long what follows a call takes at most, in s: the room of one that was answered is deleted
#: after 5.
SETTLE = 8.0
#: How long the gateway is watched while it has nothing to do, in s.
IDLE = 4.0
#: How long the gateway waits for an agent that never comes, in s.
PATIENCE = 3.0
#: A call's callbacks: it has begun, ended, and is analyzed.
CALLBACKS = 3
_AUDIO = TrackInfo(type=TrackType.AUDIO, sid="TR_1")
_REPORT = {
    "transcript": [
        {"role": "agent", "text": "Hello, how can I help you today?", "at": 1},
        {"role": "user", "text": "I would like to book an appointment.", "at": 2},
    ]
    * 5
}


@dataclass
class Calls:
    """Calls at one gateway. `requests`: how many a call needed."""

    session: aiohttp.ClientSession
    gateway: Server
    receiver: Receiver
    requests: int = 0

    async def whole(self) -> None:
        """A caller who talks to an agent, and hangs up."""
        jambonz = self._jambonz()
        (dial,) = await jambonz.call_arrives()
        assert dial["verb"] == "dial", dial
        room, hook = str(dial["headers"]["X-Call-Id"]), str(dial["actionHook"])
        agent = ParticipantInfo(identity="agent-AJ_1", kind=ParticipantInfo.Kind.AGENT)
        attributes = {
            "sip.callID": f"SCL_{room}",
            "sip.ruleID": "SDR_1",
            "sip.callStatus": "active",
        }
        caller = ParticipantInfo(
            identity="sip_+15550100", kind=ParticipantInfo.Kind.SIP, attributes=attributes
        )
        await self._webhook("room_started", room)
        await jambonz.status("trying", 100)
        await self._webhook("participant_joined", room, agent)
        await self._webhook("track_published", room, agent, _AUDIO)
        await self._report(room, "agent_ready")
        await self._webhook("participant_joined", room, caller)
        await self._webhook("track_published", room, caller, _AUDIO)
        await jambonz.far_status("ringing", 180)
        await jambonz.far_status("in-progress")
        await jambonz.status("in-progress")
        await self._report(room, "answered")
        await self._webhook("participant_left", room, caller)
        await jambonz.far_status("completed", duration=60)
        await jambonz.dial_ends(hook, "completed", "completed", 200)
        await jambonz.status("completed", duration=60, call_termination_by="caller")
        await self._report(room, "agent_ended", detail="caller left")
        await self._report(room, "agent_report", report=_REPORT)
        await self._webhook("participant_left", room, agent)
        await self._webhook("room_finished", room)
        self.requests = 20

    async def without_agent(self) -> None:
        """A caller whose agent never comes, and who gets the fallback."""
        jambonz = self._jambonz()
        (dial,) = await jambonz.call_arrives()
        assert dial["verb"] == "dial", dial
        # Then the gateway deletes the room, upon which LiveKit refuses the dial.
        await asyncio.sleep(PATIENCE + 3)
        await jambonz.dial_ends(str(dial["actionHook"]), "in-progress", "failed", 486)
        await jambonz.status("failed", 480)
        self.requests = 3

    async def run(self, call: Callable[[], Awaitable[None]], calls: int, at_once: int) -> None:
        """`calls` of them, so many `at_once`, and what follows them."""
        pending = iter(range(calls))

        async def one_after_the_other() -> None:
            for _ in pending:
                await call()

        await asyncio.gather(*(one_after_the_other() for _ in range(at_once)))
        await asyncio.sleep(SETTLE)

    async def cost(self, call: Callable[[], Awaitable[None]], at_once: int) -> float:
        """CPU of a call, in s, without what the gateway takes while it is idle."""
        await self.run(call, WARM_UP, at_once)
        idle = await self._cpu(asyncio.sleep(IDLE)) / IDLE
        began = time.perf_counter()
        cpu = await self._cpu(self.run(call, CALLS, at_once))
        return (cpu - idle * (time.perf_counter() - began)) / CALLS

    async def _cpu(self, work: Awaitable[None]) -> float:
        before = cpu_time(self.gateway.pid)
        await work
        return cpu_time(self.gateway.pid) - before

    def reasons(self) -> Counter[str]:
        """Why the calls have ended, and how many for each reason."""
        ended = (body["call"] for body in self.receiver.bodies if body["event"] == "call_ended")
        return Counter(call["disconnection_reason"] for call in ended)

    def _jambonz(self) -> Jambonz:
        return Jambonz(self.session, self.gateway.url, SECRET, "+15550100", "+15550199")

    async def _webhook(
        self,
        name: str,
        room: str,
        participant: ParticipantInfo | None = None,
        track: TrackInfo | None = None,
    ) -> None:
        event_id = f"EV_{room}_{name}_{participant.identity if participant else ''}"
        body = webhook(event_id, name, room, participant, track)
        await self._post("/livekit/webhook", body, "application/webhook+json")

    async def _report(self, room: str, event: str, **more: object) -> None:
        body = json.dumps({"event": event, "job_id": "AJ_1", "detail": "", **more}).encode()
        await self._post(f"/livekit-api/calls/{room}/report", body, "application/json")

    async def _post(self, path: str, body: bytes, content_type: str) -> None:
        headers = {"Authorization": authorization(body), "Content-Type": content_type}
        url = f"{self.gateway.url}{path}"
        async with self.session.post(url, data=body, headers=headers) as response:
            assert response.status == 204, await response.text()


async def measure(gateway: Server, impatient: Server, receiver: Receiver) -> list[Result]:
    """Both send callbacks to `receiver`; `impatient` waits PATIENCE s for an agent."""
    async with aiohttp.ClientSession() as session:
        calls = Calls(session, gateway, receiver)
        whole = await calls.cost(calls.whole, AT_ONCE)
        reasons = calls.reasons()
        assert reasons == {"user_hangup": WARM_UP + CALLS}, reasons
        assert len(receiver.bodies) == CALLBACKS * (WARM_UP + CALLS), Counter(receiver.events)
        receiver.bodies.clear()
        lonely = Calls(session, impatient, receiver)
        alone = await lonely.cost(lonely.without_agent, WAITING_AT_ONCE)
        reasons = lonely.reasons()
        assert reasons == {"no_agent": WARM_UP + CALLS}, reasons
    detail = f"{CALLS} calls of {calls.requests} requests and {CALLBACKS} callbacks"
    of_alone = f"{CALLS} calls of {lonely.requests} requests, to their end"
    return [
        Result("a whole call: CPU", whole * 1000, math.inf, "ms", detail),
        Result("a call whose agent never comes: CPU", alone * 1000, math.inf, "ms", of_alone),
    ]
