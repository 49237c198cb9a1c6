"""Today's calls and the health of each part, worked out once for all who look at the page."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from gateway.aio import BackgroundTasks
from gateway.api.services import Services
from gateway.errors import LiveKitError, LiveKitRefused, StorageUnavailable
from gateway.explanation.status import Status
from gateway.history.today import Today
from gateway.livekit.trunks import Trunks
from gateway.storage.registry import CallFilter
from gateway.web.health import Part, of_history, of_pending, of_recent_calls, of_state, of_trunks

#: How long an overview is shown before another is made, in s, and at least so many times as long
#: as it took to make: it costs no more than a twentieth of a core, however many calls there are.
SHOWN_FOR = 4.0
COST_FACTOR = 20
#: How long a page waits for a newer overview, in s; then it has the one before.
PATIENCE = 0.2
#: How long a list of the trunks is used, in s.
TRUNKS_SHOWN_FOR = 60.0
#: So many of the newest calls show whether agents come.
RECENT = 20


@dataclass(frozen=True, slots=True)
class Overview:
    """`today` is None while storage does not answer."""

    today: Today | None
    parts: tuple[Part, ...]


class Overviews:
    """Of one gateway."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._trunks = Trunks(services.livekit)
        self._tasks = BackgroundTasks()
        self._making: asyncio.Task[None] | None = None
        self._overview = Overview(None, ())
        self._until = 0.0
        self._sip = Part("SIP trunks", Status.SKIP, "")
        self._sip_until = 0.0

    async def current(self) -> Overview:
        """The overview, a few seconds old; older where a part does not answer. Never raises."""
        if self._making is None and time.monotonic() >= self._until:
            self._making = self._tasks.spawn(self._make(), name="overview of the page")
        if self._making:
            limit = PATIENCE if self._overview.parts else None
            await asyncio.wait({self._making}, timeout=limit)
        return self._overview

    async def close(self) -> None:
        await self._tasks.close()

    async def _make(self) -> None:
        began = time.monotonic()
        try:
            self._overview = await self._made()
        finally:
            took = time.monotonic() - began
            self._until = began + max(SHOWN_FOR, COST_FACTOR * took)
            self._making = None

    async def _made(self) -> Overview:
        config, states = self._services.config, await self._services.readiness.states()
        today, recent, callbacks = await self._stored()
        shared = f"Redis, {config.storage.prefix}" if config.storage.url else "in memory"
        return Overview(
            today,
            (
                of_state("LiveKit", states["livekit"], urlsplit(config.livekit.url).netloc),
                await self._sip_trunks(),
                of_recent_calls(recent),
                of_state("Registry", states["storage"], shared),
                callbacks,
                of_history(self._services.history_status, config.storage.ended_ttl),
            ),
        )

    async def _stored(self) -> tuple[Today | None, Sequence[Mapping[str, Any]], Part]:
        """What storage knows: today's counts, the newest calls, the callbacks that wait."""
        services = self._services
        try:
            today = await services.calls.today()
            recent = await services.calls.page(CallFilter(include_ended=True), limit=RECENT)
            pending = await services.storage.outbox.pending()
        except StorageUnavailable as error:
            return None, (), Part("Callbacks", Status.SKIP, str(error))
        most = services.config.callbacks.max_pending
        return today, recent.calls, of_pending(pending, most)

    async def _sip_trunks(self) -> Part:
        if time.monotonic() >= self._sip_until:
            try:
                self._sip = of_trunks(await self._trunks.listed())
            except LiveKitRefused as error:
                text = "none: this LiveKit has no SIP" if error.has_no_sip else str(error)
                self._sip = Part("SIP trunks", Status.SKIP, text)
            except LiveKitError as error:
                self._sip = Part("SIP trunks", Status.SKIP, str(error))
            self._sip_until = time.monotonic() + TRUNKS_SHOWN_FOR
        return self._sip
