"""Checks of the workers: one takes jobs for the agent, and has what its pipeline needs."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from livekit.protocol.agent_dispatch import AgentDispatch
from livekit.protocol.models import ParticipantInfo

from gateway.errors import LiveKitError
from gateway.livekit.client import LiveKit
from gateway.tools.doctor.check import Check, Finding, fail, ok, skip, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.probe import POLL_INTERVAL, probe_room
from gateway.tools.doctor.web import RequestFailed, read_object

#: How long until a worker must have taken a job, in s: a warm one needs 0.2, a cold one 1.
JOB_TIMEOUT = 5.0
#: How long until its agent must be in the room after that, in s.
JOIN_TIMEOUT = 4.0
#: How long the room exists after the agent has joined, so that it can publish its audio, in s.
SETTLE_TIME = 0.5
#: How long to wait for an unnamed worker, in s.
UNNAMED_TIMEOUT = 2.0
#: How many rooms are searched for agents of other names.
SEARCHED_ROOMS = 20

_AGENT = ParticipantInfo.Kind.AGENT
_ACTIVE = ParticipantInfo.State.ACTIVE


def checks(context: Context) -> list[Check]:
    needs = ("livekit_key",)
    return [
        Check("worker", "worker", partial(_takes_job, context), needs, timeout=15),
        Check("unnamed_workers", "unnamed workers", partial(_unnamed, context), needs),
        Check("worker_pipeline", "worker's pipeline", partial(_pipeline, context)),
    ]


async def _takes_job(context: Context) -> Finding:
    name = context.config.agent.name
    async with probe_room(context.livekit, name) as room:
        took = await _taken(context.livekit, room, within=JOB_TIMEOUT)
        if took is not None:
            return taken(name, took, joined=await _joined(context.livekit, room))
    here, elsewhere = await asyncio.gather(_name_here(context), _names_in_rooms(context))
    return not_taken(name, here, elsewhere)


async def _unnamed(context: Context) -> Finding:
    """LiveKit gives an unnamed worker a job in every room whose creation names no agent."""
    async with probe_room(context.livekit) as room:
        took = await _taken(context.livekit, room, within=UNNAMED_TIMEOUT)
        if took is None:
            return ok("none: no agent joined an empty room")
        await _joined(context.livekit, room)
    step = (
        "give that worker an agent_name, or stop it: it is the one that logs a job for a room "
        "doctor-…"
    )
    return warn(
        "a worker without agent_name joins every room whose creation names no agent",
        step,
    )


async def _taken(livekit: LiveKit, room: str, *, within: float) -> float | None:
    """After how many s a worker has taken a job in `room`; None if none did in time.

    LiveKit may list a job seconds after its agent is in the room, so both are checked.
    """
    began = time.monotonic()
    while time.monotonic() - began < within:
        dispatches = await _dispatches(livekit, room)
        if any(dispatch.state.jobs for dispatch in dispatches) or await livekit.has_agent(room):
            return time.monotonic() - began
        await asyncio.sleep(POLL_INTERVAL)
    return None


async def _dispatches(livekit: LiveKit, room: str) -> Sequence[AgentDispatch]:
    return await livekit.call(lambda client: client.agent_dispatch.list_dispatch(room))


async def _joined(livekit: LiveKit, room: str) -> bool:
    """Whether the agent joins `room`, with media.

    Waits SETTLE_TIME then: an agent whose room is deleted while it publishes its audio may hang.
    """
    began = time.monotonic()
    while time.monotonic() - began < JOIN_TIMEOUT:
        participants = await livekit.participants(room)
        if any(member.kind == _AGENT and member.state == _ACTIVE for member in participants):
            await asyncio.sleep(SETTLE_TIME)
            return True
        await asyncio.sleep(POLL_INTERVAL)
    return False


def taken(name: str, took: float, *, joined: bool) -> Finding:
    message = f"a job for {name!r} was taken in {took:.1f} s"
    if joined:
        return ok(message)
    step = (
        "see the worker's log: does it call ctx.connect()? can it reach LiveKit's media ports "
        "(rtc: tcp_port, udp_port)? is its machine overloaded?"
    )
    return warn(f"{message}, but the agent was not in the room {JOIN_TIMEOUT:g} s later", step)


def not_taken(name: str, here: str | None, elsewhere: frozenset[str]) -> Finding:
    """No worker took a job for `name`.

    `here` is the agent name of this machine's worker, None without one. LiveKit lists no workers:
    `elsewhere` are the names of agents that are in rooms now.
    """
    lines = [f"no worker took a job for {name!r} in {JOB_TIMEOUT:g} s"]
    other_names = sorted(elsewhere - {name})
    if other_names:
        lines.append(f"agents in rooms now: {', '.join(map(repr, other_names))}")
    if here == name:
        lines.append("this machine's worker has that name, and did not take the job")
        step = (
            "see the worker's log: does it use the same LIVEKIT_URL and key? is its load below "
            "AGENT_LOAD_THRESHOLD (0.7)?"
        )
    elif here is not None or other_names:
        if here is not None:
            lines.append(f"this machine's worker has the name {here!r}")
        step = (
            "use one name: set LIVEKIT_AGENT_NAME alike where the gateway and the worker run, then "
            "restart both"
        )
    else:
        step = (
            f"start a worker: LIVEKIT_AGENT_NAME={name} python -m agent, with the same LIVEKIT_URL "
            "and key"
        )
    return fail("\n".join(lines), step)


async def _pipeline(context: Context) -> Finding:
    """Gateway and worker read `agent.pipeline` each for itself."""
    facts = await _worker_here(context)
    if facts is None:
        return skip("no worker answers on this machine")
    return pipeline_of(facts, context.config.agent.pipeline)


def pipeline_of(facts: Mapping[str, Any], configured: str) -> Finding:
    """What the worker's `facts` (agent/worker.py) say; `configured` is the gateway's pipeline."""
    # Workers of earlier versions have no other.
    pipeline, problems = facts.get("pipeline", "diagnostic"), facts.get("problems")
    if pipeline != configured:
        return warn(
            f"this machine's worker runs {pipeline!r}, the gateway expects {configured!r}",
            "set agent.pipeline in one config.yaml that both read, or GATEWAY__AGENT__PIPELINE "
            "alike for both, then restart both",
        )
    if isinstance(problems, list) and problems:
        return warn("\n".join(map(str, problems)), "see the worker's log, and its agents.yaml")
    return ok(str(pipeline))


async def _name_here(context: Context) -> str | None:
    """The agent name of this machine's worker; None if no worker answers."""
    facts = await _worker_here(context)
    return None if facts is None else str(facts.get("agent_name", ""))


async def _worker_here(context: Context) -> Mapping[str, Any] | None:
    """What this machine's worker answers at its HTTP port; None if no worker answers there."""
    host = context.env.get("AGENT_HTTP_HOST") or "127.0.0.1"
    port = context.env.get("AGENT_HTTP_PORT") or "8081"
    try:
        response = await context.http.request(f"http://{host}:{port}/worker")
    except RequestFailed:
        return None
    content = read_object(response.body)
    return content if content and "sdk_version" in content else None


async def _names_in_rooms(context: Context) -> frozenset[str]:
    livekit = context.livekit

    async def names(room: str) -> set[str]:
        try:
            dispatches = await _dispatches(livekit, room)
        except LiveKitError:
            return set()  # the room may have ended; the names are a hint only
        return {dispatch.agent_name for dispatch in dispatches if dispatch.state.jobs}

    rooms = sorted(room.name for room in await livekit.rooms())[:SEARCHED_ROOMS]
    return frozenset(set().union(*await asyncio.gather(*map(names, rooms))))
