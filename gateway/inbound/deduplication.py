"""Recognises repeated call hooks: one call for each Jambonz `call_sid`, however often it is posted.

Jambonz repeats a hook whose response was late or lost, also at another gateway. Two requests at
once share the first one's outcome here; later ones find the call in the registry.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from gateway.calls.call import Call, CallStatus, Direction, Event, EventKind, TimelineEntry
from gateway.config.settings import Config
from gateway.errors import StorageUnavailable
from gateway.inbound.strategy import Strategy
from gateway.jambonz.hooks import CallHook
from gateway.jambonz.identity import asserted_identity, diversion
from gateway.lifecycle.lifecycle import Lifecycle
from gateway.storage.registry import CallRegistry
from gateway.telemetry import tracing
from gateway.transfers.fallback import BUSY, UNAVAILABLE


def agent_fields(hook: CallHook, account_code: str) -> dict[str, str]:
    """What the agent's job metadata says of the caller; "" for what is not known."""
    diverted = diversion(hook.headers)
    return {
        "destination": hook.to_number,
        "account_code": account_code,
        "caller_number": hook.from_number,
        "caller_name": hook.caller_name,
        "asserted_identity": asserted_identity(hook.headers),
        "diversion": diverted.party,
        "diversion_reason": diverted.reason,
    }


def new_call(hook: CallHook, config: Config, *, call_id: str, now: int) -> Call:
    """The call of `hook` as it begins; `now` in ms since epoch."""
    trusted = config.inbound.trusted_headers
    account_code = hook.setting("ACCOUNT_CODE", trusted)
    metadata = agent_fields(hook, account_code)
    return Call(
        call_id=call_id,
        direction=Direction.OUTBOUND if hook.is_outbound else Direction.INBOUND,
        agent_name=hook.setting("AGENT_NAME", trusted) or config.agent.name,
        start_timestamp=now,
        from_number=hook.from_number,
        to_number=hook.to_number,
        caller_name=hook.caller_name,
        asserted_identity=metadata["asserted_identity"],
        diversion=metadata["diversion"],
        account_code=account_code,
        caller_answered=hook.caller_answered,
        ringing_timeout=config.inbound.ringing_timeout,
        max_call_duration=config.inbound.max_call_duration,
        metadata={key: value for key, value in metadata.items() if value},
        jambonz={"call_sid": hook.call_sid, **hook.ids},
        timeline=(TimelineEntry(now, EventKind.REGISTERED),),
        traceparent=tracing.traceparent(),
    )


class CallsByHook:
    """Registers and prepares the call of a call hook, once. `clock` in ms since epoch."""

    def __init__(
        self,
        config: Config,
        *,
        registry: CallRegistry,
        lifecycle: Lifecycle,
        strategy: Strategy,
        new_call_id: Callable[[], str],
        clock: Callable[[], int],
    ) -> None:
        self._config = config
        self._registry = registry
        self._lifecycle = lifecycle
        self._strategy = strategy
        self._new_call_id = new_call_id
        self._clock = clock
        self._in_progress: dict[str, asyncio.Future[Call]] = {}

    async def get_or_create(self, hook: CallHook) -> Call:
        """The call of `hook`; a repeated hook gets the same. Raises StorageUnavailable."""
        first = self._in_progress.get(hook.call_sid)
        if first:
            return await asyncio.shield(first)
        outcome = asyncio.get_running_loop().create_future()
        self._in_progress[hook.call_sid] = outcome
        try:
            call = await self._register_and_prepare(hook)
        except Exception as error:
            outcome.set_exception(error)
            outcome.exception()  # asyncio warns of one that nobody has looked at
            raise
        except BaseException:
            outcome.cancel()
            raise
        finally:
            del self._in_progress[hook.call_sid]
        outcome.set_result(call)
        return call

    async def _register_and_prepare(self, hook: CallHook) -> Call:
        new = new_call(hook, self._config, call_id=self._new_call_id(), now=self._clock())
        try:
            added = await self._lifecycle.register(new, replaces=await self._finished_call(hook))
        except StorageUnavailable:
            # The call may be stored although the response was lost; its caller gets the fallback.
            self._lifecycle.defer(new.call_id, partial(_sent_to_fallback, at=self._clock()))
            raise
        call = added.call
        if not added.is_new and not _is_unprepared(call):
            return call
        if added.is_new and added.active > self._config.limits.max_active_calls:
            event = Event(EventKind.REJECTED, self._clock(), sip=BUSY, detail="too many calls")
        else:
            event = await self._strategy.prepare(call)
        return await self._lifecycle.apply(call.call_id, event) or call

    async def _finished_call(self, hook: CallHook) -> str:
        """The id of the ended call that an answered caller has had before, "" if there is none.

        A `redirect` or Jambonz's REST API brings a caller back. Such a hook for a call that goes on
        may be a late repetition, which must not end it.
        """
        if not hook.caller_answered:
            return ""
        call = await self._registry.find_by_call_sid(hook.call_sid)
        return "" if call is None or call.is_active else call.call_id


def _is_unprepared(call: Call) -> bool:
    """Whether the gateway that registered the call stopped before LiveKit had its room."""
    return call.call_status is CallStatus.REGISTERED and "room_sid" not in call.livekit


def _sent_to_fallback(call: Call, *, at: int) -> Event:
    """Ends the call of a caller who got the fallback, unless another gateway has prepared it."""
    detail = "storage was unavailable: the call hook was answered with the fallback"
    kind = EventKind.LIVEKIT_FAILED if _is_unprepared(call) else EventKind.LEG_STATUS
    return Event(kind, at, sip=UNAVAILABLE, detail=detail)
