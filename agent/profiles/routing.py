"""Which profile a call gets: the first route that matches. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.context import CallContext
from agent.profiles.profile import Route

DEFAULT = "default"
_TELEPHONE_NUMBER = re.compile(r"\+?[\d ()./-]*\d[\d ()./-]*")


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call before it begins; see Route for `trunk`."""

    call_id: str = ""
    direction: str = ""
    from_number: str = ""
    to_number: str = ""
    account_code: str = ""
    trunk: str = ""


def route(routes: Sequence[Route], call: CallFacts) -> str:
    """The name of the call's profile."""
    return next((it.profile for it in routes if _matches(it, call)), DEFAULT)


def call_facts(call: CallContext, attributes: Mapping[str, str] | None = None) -> CallFacts:
    """From the gateway's metadata; without a gateway from the SIP `attributes` of the caller."""
    sip = attributes or {}
    if call.call_id:
        return CallFacts(
            call_id=call.call_id,
            direction=call.direction,
            from_number=call.from_number,
            to_number=call.to_number,
            account_code=str(call.metadata.get("account_code", "")),
            trunk=call.trunk,
        )
    return CallFacts(
        call_id=sip.get("sip.callID", ""),
        # Only calls that come in have a dispatch rule.
        direction="inbound" if "sip.ruleID" in sip else "",
        from_number=sip.get("sip.phoneNumber", ""),
        to_number=sip.get("sip.trunkPhoneNumber", ""),
        trunk=sip.get("sip.trunkID", ""),
    )


def covers(earlier: Route, later: Route) -> bool:
    """Whether `earlier` matches every call that `later` matches."""
    return all(
        theirs is None or theirs == ours
        for theirs, ours in zip(_wanted(earlier), _wanted(later), strict=True)
    )


def _matches(it: Route, call: CallFacts) -> bool:
    actual = (_normal(call.to_number), call.account_code, call.trunk, call.direction)
    return all(w is None or w == a for w, a in zip(_wanted(it), actual, strict=True))


def _wanted(it: Route) -> tuple[str | None, ...]:
    """In the order of `_matches`; None where any value will do."""
    number = None if it.number is None else _normal(it.number)
    return (number, it.account_code, it.trunk, it.direction)


def _normal(number: str) -> str:
    """A telephone number's digits; other texts, such as the user of a SIP URI, in lower case."""
    text = number.strip()
    return re.sub(r"\D", "", text) if _TELEPHONE_NUMBER.fullmatch(text) else text.lower()
