"""The simulated agent: it takes a room's job, talks, dies or fails, and reports to the gateway."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from urllib.parse import urlsplit

from livekit.protocol.agent import Job
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from tests.chaos.network import Request
from tests.chaos.rooms import SimulatedRoom
from tests.chaos.scenario import AgentBehavior, Ending
from tests.fakes.webhooks import authorization

#: How long LiveKit shows an agent whose process has died, in s. With a real LiveKit it is 20.
SHOWN_AFTER_DEATH = (0.3, 1.5)


class RoomServer(Protocol):
    """What an agent requests from LiveKit."""

    def close(self, room: SimulatedRoom, reason: DisconnectReason) -> None: ...

    async def refer(self, room: SimulatedRoom, target: str) -> int: ...


class SimulatedAgent:
    """One job of an agent; `target` is where it transfers callers."""

    def __init__(
        self, livekit: RoomServer, room: SimulatedRoom, dispatch: AgentDispatch, target: str
    ) -> None:
        self._livekit = livekit
        self._room = room
        self._call = room.call
        self._scenario = room.call.scenario
        self._dispatch = dispatch
        self._target = target
        self._job_id = f"AJ_{dispatch.id}"
        self._identity = f"agent-{self._job_id}"
        metadata = json.loads(dispatch.metadata)["gateway"]
        self._report_path = urlsplit(metadata["report_url"]).path

    async def run(self) -> None:
        if self._scenario.agent is AgentBehavior.NEVER_JOINS:
            return
        await asyncio.sleep(self._scenario.agent_delay)
        if self._room.is_closed:
            return
        self._dispatch.state.jobs.append(Job(id=self._job_id))
        self._room.join(ParticipantInfo(identity=self._identity, kind=ParticipantInfo.Kind.AGENT))
        self._room.publish_audio(self._identity)
        if self._scenario.reports_ready:
            report = self._report("agent_ready")
            self._call.tasks.start(report, f"agent_ready {self._room.name}")
        end = self._end_of_scenario
        if end is None or not await self._talk():
            await self._leave_when_deserted()
        else:
            await end()

    @property
    def _end_of_scenario(self) -> Callable[[], Coroutine[Any, Any, None]] | None:
        """How the agent ends the call, None if it does not."""
        if self._scenario.agent is AgentBehavior.DIES:
            return self._die
        if self._scenario.agent is AgentBehavior.FAILS:
            return self._fail
        ends = {
            Ending.AGENT_LEAVES: self._leave,
            Ending.AGENT_DELETES_ROOM: self._delete_room,
            Ending.AGENT_TRANSFERS: self._transfer,
        }
        return ends.get(self._scenario.ending)

    async def _talk(self) -> bool:
        """Talk for the scenario's time; False if the caller leaves before."""
        room, call = self._room, self._call
        await call.wait_until(lambda: room.is_deserted or room.has_active_leg)
        # The agent acts in the middle of the conversation, also where the caller would end it.
        limit = 0.7 * self._scenario.talking_time
        return not await call.wait_until(lambda: room.is_deserted, limit=limit)

    async def _leave_when_deserted(self) -> None:
        await self._call.wait_until(lambda: self._room.is_deserted)
        await asyncio.sleep(0.02)
        await self._leave()

    async def _leave(self) -> None:
        self._room.leave(self._identity, DisconnectReason.CLIENT_INITIATED)
        if self._scenario.reports_end:
            await self._report("agent_ended", "caller left")

    async def _die(self) -> None:
        rng = self._call.random.generator("death")
        await asyncio.sleep(rng.uniform(*SHOWN_AFTER_DEATH))
        self._room.leave(self._identity, DisconnectReason.STATE_MISMATCH)

    async def _fail(self) -> None:
        await self._report("agent_failed", "RuntimeError: no model")
        self._livekit.close(self._room, DisconnectReason.ROOM_DELETED)

    async def _delete_room(self) -> None:
        self._livekit.close(self._room, DisconnectReason.ROOM_DELETED)
        if self._scenario.reports_end:
            await self._report("agent_ended", "done")

    async def _transfer(self) -> None:
        status = await self._livekit.refer(self._room, self._target)
        if status >= 300:
            await self._delete_room()
        else:
            await self._leave_when_deserted()

    async def _report(self, event: str, detail: str = "") -> None:
        """Send what `agent/report.py` sends, as often as the spool repeats it."""
        report = {"transcript": [], "usage": {}, "duration_ms": 1, "errors": []}
        payload = {
            "event": event,
            "job_id": self._job_id,
            "detail": detail,
            "report": None if event == "agent_ready" else report,
        }
        body = json.dumps(payload).encode()
        await self._call.sender.send_report(Request(event, self._report_path, body, _headers))


def _headers(body: bytes) -> dict[str, str]:
    return {"Authorization": f"Bearer {authorization(body)}", "Content-Type": "application/json"}
