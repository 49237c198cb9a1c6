"""How LiveKit routes an INVITE: which trunk and rule take it, to which room. Pure.

The decisions are those of livekit-server 1.13.5 (`sip/sip.go` of livekit/protocol,
`ioservice_sip.go`), their consequences those of livekit-sip 1.10.0.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.collisions import first_collision
from gateway.tools.setup.items import is_random, label, normalized, pin_of, prefix_of, rule_kind

#: Stands for the random part that LiveKit appends to a room's name.
RANDOM_SUFFIX = "<random>"

_NOT_A_MASK = re.compile(r"[()+*;, \t\n\r]|://")
#: The kinds of dispatch rule, in the order in which LiveKit prefers them.
_RULES = ("dispatch_rule_direct", "dispatch_rule_individual", "dispatch_rule_callee")


@dataclass(frozen=True, slots=True)
class Invite:
    """The users in From and To, the address of the sender, and the host in From."""

    from_user: str
    to_user: str
    source_ip: str
    from_host: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """Where an INVITE goes. `room` is "" for nowhere.

    `problem` says why the room is not the one named like the called user, "" if it is. `trunk` may
    be None without a problem: a rule for all trunks takes an INVITE that matches none. `rivals` are
    two trunks, or two rules, between which LiveKit cannot choose.
    """

    trunk: SipItem | None
    rule: SipItem | None
    room: str
    problem: str
    rivals: tuple[SipItem, ...] = ()

    @property
    def requires_digest(self) -> bool:
        """Whether LiveKit challenges the INVITE (407) before it chooses a rule."""
        fields = self.trunk.fields if self.trunk else {}
        return bool(fields.get("auth_username") and fields.get("auth_password"))

    def __str__(self) -> str:
        stations = [label(item) for item in (self.trunk, self.rule) if item]
        stations += [f"room {self.room}"] if self.room else []
        return " → ".join(stations) or "nothing"


def route(invite: Invite, items: Iterable[SipItem]) -> Route:
    """Where `invite` goes if LiveKit has `items`."""
    ordered = sorted(items, key=lambda item: item.id)
    trunks = _matching_trunks(invite, ordered)
    if len(trunks) > 1:
        return _ambiguous(None, trunks[0], trunks[1])
    trunk = next(iter(trunks), None)
    rules = _candidate_rules(trunk, ordered)
    if rivals := first_collision(rules):
        return _ambiguous(trunk, *rivals)
    best = _best_rule(invite, trunk, rules)
    if best is None:
        return Route(trunk, None, "", _no_rule(trunk))
    room = _room(invite, best)
    return Route(trunk, best, room, _problem(invite, best, room))


def allows(masks: Sequence[str], source_ip: str, host: str) -> bool:
    """Whether the allowed addresses `masks` accept an INVITE from `source_ip` with `host` in From.

    A mask is an address, a network or a host. If LiveKit can use none of them, it accepts all.
    """
    try:
        source = ip_address(source_ip)
    except ValueError:
        return True
    usable = [mask for mask in masks if not _NOT_A_MASK.search(mask)]
    return not usable or any(mask == host or _covers(mask, source) for mask in usable)


def network(mask: str) -> IPv4Network | IPv6Network | None:
    """The addresses that LiveKit takes `mask` for; None if it is neither address nor network."""
    address, slash, bits = mask.rpartition("/")
    try:
        if not slash:
            return None if "%" in mask else ip_network(mask)
        if bits.isdecimal() and str(int(bits)) == bits:
            return ip_network((address, int(bits)), strict=False)
    except ValueError:
        pass
    return None


def _covers(mask: str, source: IPv4Address | IPv6Address) -> bool:
    addresses = network(mask)
    return addresses is not None and source in addresses


def _matching_trunks(invite: Invite, items: Sequence[SipItem]) -> list[SipItem]:
    """The trunks that accept it; those that name the called number come before all others."""
    trunks = [item for item in items if item.kind is Kind.INBOUND_TRUNK and _accepts(item, invite)]
    number = normalized(invite.to_user)
    named = [t for t in trunks if number in map(normalized, t.fields.get("numbers", []))]
    return named or [trunk for trunk in trunks if not trunk.fields.get("numbers")]


def _accepts(trunk: SipItem, invite: Invite) -> bool:
    numbers = [normalized(number) for number in trunk.fields.get("allowed_numbers", [])]
    if numbers and normalized(invite.from_user) not in numbers:
        return False
    return allows(trunk.fields.get("allowed_addresses", []), invite.source_ip, invite.from_host)


def _candidate_rules(trunk: SipItem | None, items: Sequence[SipItem]) -> list[SipItem]:
    """The rules for the trunk and those for all trunks; without a trunk, all rules."""

    def is_candidate(rule: SipItem) -> bool:
        trunk_ids = rule.fields.get("trunk_ids", [])
        return trunk is None or not trunk_ids or trunk.id in trunk_ids

    return [item for item in items if item.kind is Kind.DISPATCH_RULE and is_candidate(item)]


def _best_rule(invite: Invite, trunk: SipItem | None, rules: Sequence[SipItem]) -> SipItem | None:
    matching = [
        rule
        for rule in rules
        if _is_listed(invite.from_user, rule.fields.get("inbound_numbers"))
        and _is_listed(invite.to_user, rule.fields.get("numbers"))
    ]
    for_all = [rule for rule in matching if not rule.fields.get("trunk_ids")]
    for_trunk = [r for r in matching if trunk and trunk.id in r.fields.get("trunk_ids", [])]
    return min(for_trunk or for_all, key=_rank, default=None)


def _is_listed(user: str, numbers: Sequence[str] | None) -> bool:
    """Rules compare numbers character by character; an empty list stands for all numbers."""
    return not numbers or user in numbers


def _rank(rule: SipItem) -> tuple[int, str]:
    """LiveKit's order: rules that list numbers, then those with a PIN, then by kind and room."""
    kind = rule_kind(rule)
    rank = _RULES.index(kind) if kind in _RULES else len(_RULES)
    rank += 0 if pin_of(rule) else 100
    rank += sum(1000 for key in ("inbound_numbers", "numbers") if not rule.fields.get(key))
    return rank, prefix_of(rule)


def _room(invite: Invite, rule: SipItem) -> str:
    prefix, kind = prefix_of(rule), rule_kind(rule)
    if kind == "dispatch_rule_direct":
        return prefix
    user = invite.to_user
    if kind == "dispatch_rule_individual":
        user = _masked(invite.from_user) if _hides(rule) else invite.from_user
    parts = [prefix] if prefix else []
    return "_".join([*parts, user, *([RANDOM_SUFFIX] if is_random(rule) else [])])


def _hides(rule: SipItem) -> bool:
    return bool(rule.fields.get("hide_phone_number"))


def _masked(user: str) -> str:
    return user[-4:] if len(user) > 4 else user[-1:]


def _ambiguous(trunk: SipItem | None, first: SipItem, second: SipItem) -> Route:
    if first is second:
        cause = f"{label(first)} names a number twice"
    else:
        cause = f"{label(first)} and {label(second)} both take it"
    problem = f'{cause}: LiveKit cannot choose and answers 503 "Try again later"'
    return Route(trunk, None, "", problem, (first, second))


def _problem(invite: Invite, rule: SipItem, room: str) -> str:
    if pin_of(rule):
        effect = "asks the caller for a PIN"
    elif is_random(rule):
        effect = "appends a random part to the room's name"
    elif room == invite.to_user:
        return ""
    else:
        effect = {
            "dispatch_rule_direct": f"puts every call into room {room!r}",
            "dispatch_rule_individual": "names the room after the caller, not the called user",
            "dispatch_rule_callee": f"prefixes the room's name with {prefix_of(rule)!r} and '_'",
        }.get(rule_kind(rule), "is of an unknown kind")
    return f"{label(rule)} {effect}"


def _no_rule(trunk: SipItem | None) -> str:
    cause = f"no dispatch rule is for {label(trunk)}" if trunk else "no inbound trunk accepts it"
    return f"{cause}: it rings unanswered until LiveKit drops it"
