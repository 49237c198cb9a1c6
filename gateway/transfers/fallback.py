"""Where callers go when no agent can be had: the configured targets, one after the other."""

from collections.abc import Callable

from gateway.calls.call import Call, Event, EventKind, SipOutcome
from gateway.config.settings import Config
from gateway.jambonz import verbs
from gateway.jambonz.urls import hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle

#: What a caller is refused with when no fallback is left (RFC 3261 §21).
UNAVAILABLE = SipOutcome(503, "Service Unavailable")
BUSY = SipOutcome(486, "Busy Here")
NO_AGENT = SipOutcome(480, "Temporarily Unavailable")


class Fallback:
    """Which target comes next is in the action hook's URL: that survives a restart."""

    def __init__(self, config: Config, lifecycle: Lifecycle, clock: Callable[[], int]) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._clock = clock

    async def route_to_fallback(
        self, call: Call | None, index: int, outcome: SipOutcome, *, answered: bool = False
    ) -> Verbs:
        """Hand the caller on to target `index`; when there is none, refuse with `outcome`.

        A caller who has been `answered` cannot be refused any more and is hung up.
        """
        targets = self._config.inbound.fallback
        target = targets[index] if index < len(targets) else None
        if call:
            detail = str(target) if target else f"none left, SIP {outcome.status}"
            event = Event(EventKind.FALLBACK, self._clock(), detail=detail)
            await self._lifecycle.apply(call.call_id, event)
        if target:
            return verbs.fallback(
                target,
                action_hook=self.action_hook(index + 1),
                limits=self._config.inbound.dial_limits,
            )
        if answered:
            return verbs.hang_up()
        return verbs.decline(outcome.status, outcome.reason or "Call Failed")

    def action_hook(self, index: int) -> str:
        """Where a dial reports its end, so that target `index` is tried if it failed."""
        public_url = self._config.server.public_url
        return hook_url(public_url, "/livekit-api/dial-action", fallback=index)
