"""Trunks and rules of others that keep ours from being made, or calls from reaching them. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.routing import Invite, Route, called, keys, network, route

#: The called user of an INVITE that stands for all that the gateway has Jambonz send.
CALLED = "call-…"
#: A caller and a source that nobody's trunk is likely to name (RFC 5737).
CALLER = "+15550100"
SOMEWHERE = "203.0.113.1"

#: By what an item is found again: its kind and id.
Key = tuple[Kind, str]


def obstacles(
    goal: Sequence[SipItem],
    others: Sequence[SipItem],
    addresses: Sequence[str],
    changing: Collection[Kind],
) -> Mapping[Key, str]:
    """Which of `others` have to go so that calls reach `goal`, what is ours; and why.

    `addresses` are those of Jambonz's SBCs. Of the kinds that are `changing` LiveKit checks all
    that there are against each other.
    """
    if not goal:
        return {}
    found = _clashing(goal, [item for item in others if item.kind in changing])
    rest = [item for item in others if (item.kind, item.id) not in found]
    found |= _catching(goal, rest, probes(addresses, others))
    return found | _left_over(found, others)


def probes(addresses: Sequence[str], others: Iterable[SipItem] = ()) -> list[Invite]:
    """INVITEs from `addresses`, and those that `others` may treat differently from these."""
    known = list(others)
    callers = [CALLER] + [number for item in known for number in _callers(item)]
    sources = [source for address in addresses or [SOMEWHERE] for source in _sources(address)]
    for item in known:
        sources += _overlaps(addresses, item.fields.get("allowed_addresses", []))
    pairs = dict.fromkeys(product(sources, callers))
    return [Invite(caller, CALLED, ip, host) for (ip, host), caller in pairs]


def _callers(item: SipItem) -> list[str]:
    return [
        *item.fields.get("allowed_numbers", []),
        *item.fields.get("inbound_numbers", []),
    ]


def _sources(address: str) -> list[tuple[str, str]]:
    """An IP of the address or network; for a host name, any IP with the name in From."""
    addresses = network(address)
    return [(SOMEWHERE, address) if addresses is None else (str(addresses[0]), "")]


def _overlaps(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """Where both let somebody in: the first IP of the smaller network. No `ours` is everybody."""
    mine = [addresses for mask in ours if (addresses := network(mask))]
    found = []
    for mask in theirs:
        addresses = network(mask)
        if addresses is None:
            continue
        if not ours or any(addresses[0] in net for net in mine):
            found.append((str(addresses[0]), ""))
        found += [(str(net[0]), "") for net in mine if net[0] in addresses]
    return found


def _clashing(goal: Sequence[SipItem], others: Sequence[SipItem]) -> dict[Key, str]:
    """What LiveKit would refuse to have beside ours, or beside each other."""
    taken = {key: item for item in goal for key in keys(item)}
    reasons = {}
    for item in sorted(others, key=lambda item: item.id):
        rival = next((taken[key] for key in keys(item) if key in taken), None)
        if rival is None:
            taken |= dict.fromkeys(keys(item), item)
        elif rival in goal:
            reasons[item.kind, item.id] = _CANNOT_BE_BESIDE[item.kind]
        else:
            reasons[item.kind, item.id] = (
                f"contradicts {called(rival)}: LiveKit makes and changes none while both are there"
            )
    return reasons


_CANNOT_BE_BESIDE = {
    Kind.INBOUND_TRUNK: (
        "names no called numbers, nor does ours: LiveKit allows one such trunk, whatever its "
        "addresses"
    ),
    Kind.DISPATCH_RULE: "is for the trunk and numbers that ours is for: LiveKit allows one",
}


def _catching(
    goal: Sequence[SipItem], others: Sequence[SipItem], invites: Iterable[Invite]
) -> dict[Key, str]:
    """What would take a call before ours, or make LiveKit refuse it."""
    reasons: dict[Key, str] = {}
    left = list(others)
    for invite in invites:
        while True:
            met = route(invite, [*goal, *left])
            culprit = next((item for item in _met(met) if item in left), None)
            if culprit is None:
                break
            reasons[culprit.kind, culprit.id] = _caught(invite, culprit, met, goal)
            left.remove(culprit)
    return reasons


def _met(met: Route) -> list[SipItem]:
    return [item for item in (*met.rivals, met.trunk, met.rule) if item]


def _caught(invite: Invite, culprit: SipItem, met: Route, goal: Sequence[SipItem]) -> str:
    calls = f"calls of {invite.from_user} from {invite.from_host or invite.source_ip}"
    if beside := next((item for item in met.rivals if item != culprit), None):
        rival = "ours" if beside in goal else called(beside)
        return f"takes {calls}, as does {rival}: LiveKit cannot choose and answers 503"
    if culprit in met.rivals:
        return met.problem
    where = f"leads to room {met.room}" if met.room else met.problem
    return f"takes {calls} instead of ours, and {where}"


def _left_over(found: Mapping[Key, str], others: Sequence[SipItem]) -> dict[Key, str]:
    """What has no use or cannot stay once those are gone."""
    gone = {item_id for _, item_id in found}
    there = {item.id for item in others}
    reasons = {}
    for item in others:
        trunk_ids = set(item.fields.get("trunk_ids", []))
        if (item.kind, item.id) in found:
            continue
        if item.id in gone:
            reasons[item.kind, item.id] = "of one piece with the inbound trunk of this id"
        elif trunk_ids & gone and not trunk_ids & (there - gone):
            reasons[item.kind, item.id] = f"is only for {', '.join(sorted(trunk_ids))}, which goes"
    return reasons
