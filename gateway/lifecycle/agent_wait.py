"""Waits until a call's agent can be heard, before anybody's telephone rings."""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import replace

import structlog

from gateway.calls.call import Call, Event, EventKind
from gateway.errors import LiveKitError
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.livekit.client import LiveKit
from gateway.livekit.rooms import SEEN_IN_ROOM, agent_ids

log = structlog.get_logger()

#: Between two looks at the stored call, in s: another gateway may have got the report or webhook.
POLL_INTERVAL = 0.2
#: When LiveKit is asked first, in s; the pause doubles with each time. Its webhook or the agent's
#: report usually comes before.
FIRST_QUESTION = 0.5


class AgentWait:
    """Waits for the report `agent_ready` or the webhook of the agent's audio track.

    LiveKit itself is asked seldom, for agents that report nothing where webhooks do not arrive.
    `clock` in ms since epoch.
    """

    def __init__(self, lifecycle: Lifecycle, livekit: LiveKit, clock: Callable[[], int]) -> None:
        self._lifecycle = lifecycle
        self._livekit = livekit
        self._clock = clock

    async def until(self, call: Call, is_ready: Callable[[Call], bool], *, limit: float) -> Call:
        """The call as soon as it `is_ready` or has ended, or as it is after `limit` s."""
        began = time.monotonic()
        ask_at = min(FIRST_QUESTION, limit)
        with self._lifecycle.watching(call.call_id) as changed:
            while True:
                call = await self._lifecycle.refreshed(call)
                passed = time.monotonic() - began
                if is_ready(call) or not call.is_active or ask_at > limit:
                    return call
                if passed < ask_at:
                    await _set_within(changed, min(POLL_INTERVAL, ask_at - passed))
                    continue
                await self._ask(call)
                # The last time when the time is up; then the loop ends.
                ask_at = min(2 * ask_at + FIRST_QUESTION, limit) if ask_at < limit else math.inf

    async def _ask(self, call: Call) -> None:
        """Record what LiveKit shows, and the call does not: an audible agent, or a leg."""
        try:
            participants = await self._livekit.room_participants(call.call_id)
        except LiveKitError as error:
            log.warning("call.agent_unknown", call_id=call.call_id, error=str(error))
            return
        if agent := participants.audible_agent:
            ids = agent_ids(agent.identity)
            await self._apply(call, Event(EventKind.AGENT_AUDIBLE, self._clock(), ids=ids))
        if leg := participants.caller_leg(call):
            joined = Event(EventKind.CALLER_JOINED, self._clock(), participant=leg.participant)
            await self._apply(call, joined)

    async def _apply(self, call: Call, event: Event) -> None:
        await self._lifecycle.apply(call.call_id, replace(event, detail=SEEN_IN_ROOM))


async def _set_within(changed: asyncio.Event, limit: float) -> None:
    """Wait for `changed`, at most `limit` s, and clear it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit):
            await changed.wait()
    changed.clear()
