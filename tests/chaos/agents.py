"""The agent workers: one takes a room's job, talks, dies, fails, reports."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any, Protocol
from urllib.parse import urlsplit

from livekit.protocol.agent import Job
from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import DisconnectReason, ParticipantInfo

from tests.chaos.mail import Letter
from tests.chaos.rooms import LiveRoom
from tests.chaos.script import AgentPart, Ending
from tests.fakes.webhooks import authorization

#: How long LiveKit still shows an agent whose process has died, in s (20 in truth).
DEAD_FOR = (0.3, 1.5)


class RoomServer(Protocol):
    """What an agent may ask LiveKit for."""

    def close(self, room: LiveRoom, why: DisconnectReason) -> None: ...

    async def refer(self, room: LiveRoom, target: str) -> int: ...


class Agent:
    """A job, and who does it."""

    def __init__(
        self, livekit: RoomServer, room: LiveRoom, dispatch: AgentDispatch, target: str
    ) -> None:
        self._livekit = livekit
        self._room = room
        self._scene = room.scene
        self._script = room.scene.script
        self._dispatch = dispatch
        self._target = target
        self._job_id = f"AJ_{dispatch.id}"
        self._identity = f"agent-{self._job_id}"
        told = json.loads(dispatch.metadata)["gateway"]
        self._report_path = urlsplit(told["report_url"]).path

    async def run(self) -> None:
        if self._script.agent is AgentPart.NEVER_COMES:
            return
        await asyncio.sleep(self._script.agent_delay)
        if self._room.is_closed:
            return
        self._dispatch.state.jobs.append(Job(id=self._job_id))
        self._room.join(ParticipantInfo(identity=self._identity, kind=ParticipantInfo.Kind.AGENT))
        if self._script.tells_ready:
            self._report_beside("agent_ready")
        if self._act is None or not await self._is_time():
            await self._see_off()
        else:
            await self._act()

    @property
    def _act(self) -> Callable[[], Coroutine[Any, Any, None]] | None:
        if self._script.agent is AgentPart.DIES:
            return self._die
        if self._script.agent is AgentPart.FAILS:
            return self._fail
        acts = {
            Ending.AGENT_LEAVES: self._go,
            Ending.AGENT_DELETES: self._delete,
            Ending.AGENT_REFERS: self._refer,
        }
        return acts.get(self._script.ending)

    async def _is_time(self) -> bool:
        """Wait until it has talked enough; False if the caller is gone before."""
        room, scene = self._room, self._scene
        await scene.until(lambda: room.is_deserted or room.is_talking)
        # An act is in the middle of the talk, also where it is the caller who would end that.
        return not await scene.until(lambda: room.is_deserted, within=0.7 * self._script.talk)

    async def _see_off(self) -> None:
        await self._scene.until(lambda: self._room.is_deserted)
        await asyncio.sleep(0.02)
        await self._go()

    async def _go(self) -> None:
        self._room.leave(self._identity, DisconnectReason.CLIENT_INITIATED)
        if self._script.tells_end:
            await self._report("agent_ended", "caller left")

    async def _die(self) -> None:
        await asyncio.sleep(self._scene.dice.of("dead").uniform(*DEAD_FOR))
        self._room.leave(self._identity, DisconnectReason.STATE_MISMATCH)

    async def _fail(self) -> None:
        await self._report("agent_failed", "RuntimeError: no model")
        self._livekit.close(self._room, DisconnectReason.ROOM_DELETED)

    async def _delete(self) -> None:
        self._livekit.close(self._room, DisconnectReason.ROOM_DELETED)
        if self._script.tells_end:
            await self._report("agent_ended", "done")

    async def _refer(self) -> None:
        status = await self._livekit.refer(self._room, self._target)
        if status >= 300:
            await self._delete()
        else:
            await self._see_off()

    def _report_beside(self, event: str) -> None:
        self._scene.crew.start(self._report(event), f"{event} {self._room.name}")

    async def _report(self, event: str, detail: str = "") -> None:
        """As `agent/report.py` does, and the spool after it."""
        ends = event != "agent_ready"
        report = {"transcript": [], "usage": {}, "duration_ms": 1, "errors": []} if ends else None
        content = {"event": event, "job_id": self._job_id, "detail": detail, "report": report}
        body = json.dumps(content).encode()
        await self._scene.mail.insist(Letter(event, self._report_path, body, _headers))


def _headers(body: bytes) -> dict[str, str]:
    return {"Authorization": f"Bearer {authorization(body)}", "Content-Type": "application/json"}
