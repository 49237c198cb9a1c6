"""The fallback for callers without an agent: inbound.fallback's targets, one after the other."""

from collections.abc import Callable

from gateway.calls.call import Call, Event, EventKind
from gateway.calls.outcomes import SipOutcome
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.timeline import NO_TARGET_LEFT
from gateway.config.settings import Config
from gateway.jambonz import verbs
from gateway.jambonz.urls import DIAL_ACTION, hook_url
from gateway.jambonz.verbs import Verbs
from gateway.lifecycle.lifecycle import Lifecycle

#: SIP responses for callers whom no fallback target is left for (RFC 3261 §21).
UNAVAILABLE = SipOutcome(503, "Service Unavailable")
BUSY = SipOutcome(486, "Busy Here")
NO_AGENT = SipOutcome(480, "Temporarily Unavailable")
#: For callers on whom an API client hangs up: unlike 480 it invites no other attempt.
DECLINED = SipOutcome(603, "Decline")
#: Final statuses that challenge Jambonz: they refuse nobody.
_CHALLENGES = frozenset({401, 407})


class Fallback:
    """Stateless: the action hook's URL has the index of the next target. `clock` in ms."""

    def __init__(self, config: Config, lifecycle: Lifecycle, clock: Callable[[], int]) -> None:
        self._config = config
        self._lifecycle = lifecycle
        self._clock = clock

    async def route_to_fallback(
        self, call: Call | None, index: int, outcome: SipOutcome | None, *, answered: bool = False
    ) -> Verbs:
        """The verbs that connect the caller with target `index`; without one, decline or hang up.

        `outcome` is how the dial before it failed, see `refusal()`. A caller who was `answered`
        already cannot be declined, only hung up. One on whom an API client has hung up gets no
        target.
        """
        if call and call.disconnection_reason is DisconnectionReason.MANUAL_STOPPED:
            return refuse(DECLINED, answered=answered)
        refused = refusal(outcome)
        targets = self._config.inbound.fallback
        target = targets[index] if index < len(targets) else None
        if call:
            detail = str(target) if target else f"{NO_TARGET_LEFT}, SIP {refused.status}"
            event = Event(EventKind.FALLBACK, self._clock(), detail=detail)
            await self._lifecycle.apply(call.call_id, event)
        if target:
            return verbs.fallback(
                target,
                action_hook=self.action_hook(index + 1, call),
                options=self._config.inbound.dial_options,
            )
        return refuse(refused, answered=answered)

    def action_hook(self, index: int, call: Call | None) -> str:
        """The URL of a dial's action hook; if the dial failed, target `index` is tried.

        It names the call: Jambonz's `call_sid` leads to the caller's last one, not to every one.
        """
        query: dict[str, object] = {"fallback": index}
        if call:
            query["call_id"] = call.call_id
        return hook_url(self._config.server.public_url, DIAL_ACTION, **query)


def refuse(outcome: SipOutcome, *, answered: bool) -> Verbs:
    """Decline the caller with `outcome`; one who was `answered` already can only be hung up."""
    if answered:
        return verbs.hangup()
    return verbs.sip_decline(outcome.status, outcome.reason or "Call Failed")


def refusal(outcome: SipOutcome | None) -> SipOutcome:
    """The response that declines a caller after a dial that ended with `outcome`.

    Only a failure (400 to 699) declines. Nobody answered in time if the status is provisional, and
    so stale, or answers the CANCEL that Jambonz then sends.
    """
    status = outcome.status if outcome else 0
    if 100 <= status < 200 or status == 487:
        return NO_AGENT
    if outcome and 400 <= status < 700 and status not in _CHALLENGES:
        return outcome
    return UNAVAILABLE
