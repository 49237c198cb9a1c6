"""Notices that the job's process stood still: the caller heard nothing, and nothing was heard."""

import asyncio
import logging
import time
from collections.abc import Callable

from agent.heartbeat import Beat, Heartbeat
from agent.record import Record

logger = logging.getLogger("agent.stalls")

#: Between two looks at the clock, in s.
INTERVAL = 0.25
#: How long the process must have stood still to be noted, in s: a pause that a caller notices.
NOTED_FROM = 1.0


class Stalls:
    """Notes in `record` when the process stood still: stopped, starved of CPU, or blocked."""

    def __init__(
        self,
        record: Record,
        heartbeat: Heartbeat,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._record = record
        self._heartbeat = heartbeat
        self._clock = clock
        self._seen_at = clock()

    async def watch(self) -> None:
        """Runs as long as the call, with signs of life for the worker, which looks from outside."""
        with self._heartbeat:
            while True:
                self._heartbeat.beat(Beat(self._clock(), self._record.mute_since))
                await asyncio.sleep(INTERVAL)
                self.check()

    def check(self) -> None:
        """Note how long the process stood still since the last check, if it did."""
        now = self._clock()
        stood_still = now - self._seen_at - INTERVAL
        self._seen_at = now
        if stood_still < NOTED_FROM:
            return
        self._record.add_silence(self._record.stalls, round(stood_still * 1000))
        logger.warning("agent.stalled", extra={"seconds": round(stood_still, 1)})
