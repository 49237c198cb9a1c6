"""Workers: does one take a job for the agent, and none any other."""

import asyncio
import time
from functools import partial

from livekit.protocol.models import ParticipantInfo

from gateway.errors import LiveKitError
from gateway.livekit.client import LiveKit
from gateway.tools.doctor.check import Check, Finding, fail, ok, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.probe import LOOK_EVERY, probe_room
from gateway.tools.doctor.web import NoAnswer, read_object

#: How long a worker may take to take a job, in s: 0.2 when it is warm, 1 when it is cold.
JOB_LIMIT = 5.0
#: How long its agent may take then to be in the room, in s.
JOIN_LIMIT = 4.0
#: How long an agent that has joined is left to publish its voice, in s.
SETTLE = 0.5
#: How long to wait for a worker that should not come, in s.
NOBODY_LIMIT = 2.0
#: How many rooms are looked into for agents by another name.
ROOMS_LOOKED_AT = 20

_AGENT = ParticipantInfo.Kind.AGENT
_ACTIVE = ParticipantInfo.State.ACTIVE


def checks(site: Context) -> list[Check]:
    needs = ("livekit_key",)
    return [
        Check("worker", "worker", partial(_takes_job, site), needs, limit=15),
        Check("other_workers", "unnamed workers", partial(_unasked, site), needs),
    ]


async def _takes_job(site: Context) -> Finding:
    name = site.config.agent.name
    async with probe_room(site.livekit, name) as room:
        took = await _taken(site.livekit, room, limit=JOB_LIMIT)
        if took is not None:
            return taken(name, took, joined=await _joined(site.livekit, room))
    here, elsewhere = await asyncio.gather(_of_this_machine(site), _in_other_rooms(site))
    return not_taken(name, here, elsewhere)


async def _unasked(site: Context) -> Finding:
    """A worker without a name gets a job in each room made without agents: outbound calls' are."""
    async with probe_room(site.livekit) as room:
        took = await _taken(site.livekit, room, limit=NOBODY_LIMIT)
        if took is None:
            return ok("none: an empty room stays empty")
        await _joined(site.livekit, room)
    step = (
        "give that worker an agent_name, or stop it; see which one logs a job for a doctor-… room"
    )
    return warn(
        "a worker without agent_name joins rooms unasked, also those of outbound calls", step
    )


async def _taken(livekit: LiveKit, room: str, *, limit: float) -> float | None:
    """After how many s a worker has taken a job in `room`; None if none has within `limit` s.

    LiveKit may list a job seconds after its agent is in the room, so both are looked at.
    """
    began = time.monotonic()
    while time.monotonic() - began < limit:
        dispatches = await livekit.call(lambda client: client.agent_dispatch.list_dispatch(room))
        if any(dispatch.state.jobs for dispatch in dispatches) or await livekit.has_agent(room):
            return time.monotonic() - began
        await asyncio.sleep(LOOK_EVERY)
    return None


async def _joined(livekit: LiveKit, room: str) -> bool:
    """Whether the agent gets into `room`, media and all.

    One whose room goes while it connects or publishes its voice hangs or fails, hence the pause.
    """
    began = time.monotonic()
    while time.monotonic() - began < JOIN_LIMIT:
        present = await livekit.participants(room)
        if any(who.kind == _AGENT and who.state == _ACTIVE for who in present):
            await asyncio.sleep(SETTLE)
            return True
        await asyncio.sleep(LOOK_EVERY)
    return False


def taken(name: str, took: float, *, joined: bool) -> Finding:
    saw = f"a job for {name!r} was taken in {took:.1f} s"
    if joined:
        return ok(saw)
    step = (
        "see the worker's log: does it call ctx.connect(), can it reach LiveKit's media ports "
        "(rtc: tcp_port, udp_port), is its machine overloaded?"
    )
    return warn(f"{saw}, but the agent was not in the room {JOIN_LIMIT:g} s later", step)


def not_taken(name: str, here: str | None, elsewhere: frozenset[str]) -> Finding:
    """No worker took a job for `name`. `here` is the name that this machine's worker answers to.

    LiveKit has no list of workers: `elsewhere` are the names of agents that are in rooms now.
    """
    saw = [f"no worker took a job for {name!r} in {JOB_LIMIT:g} s"]
    others = sorted(elsewhere - {name})
    if others:
        saw.append(f"agents in rooms now: {', '.join(map(repr, others))}")
    if here == name:
        saw.append("the worker of this machine answers to that name, and took none")
        step = (
            "see the worker's log: has it the same LIVEKIT_URL and key, is its load below "
            "AGENT_LOAD_THRESHOLD (0.7)?"
        )
    elif here is not None or others:
        if here is not None:
            saw.append(f"the worker of this machine answers to {here!r}")
        step = (
            "use one name: LIVEKIT_AGENT_NAME where the gateway runs and where the worker runs, "
            "then start both again"
        )
    else:
        step = (
            f"start a worker: LIVEKIT_AGENT_NAME={name} python -m agent, with the same LIVEKIT_URL "
            "and key"
        )
    return fail("\n".join(saw), step)


async def _of_this_machine(site: Context) -> str | None:
    """What the worker of this machine tells on its own page; None if there is none to ask."""
    host = site.env.get("AGENT_HTTP_HOST") or "127.0.0.1"
    port = site.env.get("AGENT_HTTP_PORT") or "8081"
    try:
        answer = await site.web.ask(f"http://{host}:{port}/worker")
    except NoAnswer:
        return None
    content = read_object(answer.body)
    if content is None or "sdk_version" not in content:
        return None
    return str(content.get("agent_name", ""))


async def _in_other_rooms(site: Context) -> frozenset[str]:
    livekit = site.livekit

    async def names(room: str) -> set[str]:
        try:
            found = await livekit.call(lambda client: client.agent_dispatch.list_dispatch(room))
        except LiveKitError:
            return set()  # it is only a hint, and a room may be gone meanwhile
        return {dispatch.agent_name for dispatch in found if dispatch.state.jobs}

    rooms = sorted(room.name for room in await livekit.rooms())[:ROOMS_LOOKED_AT]
    return frozenset(set().union(*await asyncio.gather(*map(names, rooms))))
