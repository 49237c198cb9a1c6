"""What an INVITE would meet at LiveKit: which trunk, rule and room. Pure.

It decides as livekit-server 1.13.5 does (`sip/sip.go` of livekit/protocol, `ioservice_sip.go`), and
what comes of it is what livekit-sip 1.10.0 answers then.
"""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from itertools import product
from typing import Any

from gateway.livekit.trunks import Kind, SipItem

#: Stands for what LiveKit appends to a room's name that is randomised.
RANDOM_END = "<random>"

_NUMBER = re.compile(r"\+?[0-9\- ()]+")
_NOT_A_MASK = re.compile(r"[()+*;, \t\n\r]|://")
#: The kinds of rule there are, the one that LiveKit prefers first.
_RULES = ("dispatch_rule_direct", "dispatch_rule_individual", "dispatch_rule_callee")


@dataclass(frozen=True, slots=True)
class Invite:
    """The users of From and To, where it comes from, and the host in its From."""

    from_user: str
    to_user: str
    source_ip: str
    from_host: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """What it meets. `room` is "" if none; `problem` says why the room is not the called user's.

    `trunk` may be None and all be well: a rule for all trunks takes an INVITE that matches none.
    `rivals` are two trunks, or two rules, between which LiveKit cannot choose.
    """

    trunk: SipItem | None
    rule: SipItem | None
    room: str
    problem: str
    rivals: tuple[SipItem, ...] = ()

    @property
    def asks_digest(self) -> bool:
        """Whether LiveKit challenges the INVITE (407) before it looks for a rule."""
        fields = self.trunk.fields if self.trunk else {}
        return bool(fields.get("auth_username") and fields.get("auth_password"))

    @property
    def asks_pin(self) -> bool:
        return bool(self.rule and pin_of(self.rule))

    @property
    def is_random(self) -> bool:
        """Whether nobody can know the room's name beforehand."""
        return bool(self.rule and _is_random(self.rule))

    def __str__(self) -> str:
        met = [called(item) for item in (self.trunk, self.rule) if item]
        met += [f"room {self.room}"] if self.room else []
        return " → ".join(met) or "nothing"


def called(item: SipItem) -> str:
    """How an item is named to a person: its kind, its id, its name if it has one."""
    name = f' "{item.name}"' if item.name else ""
    return f"{item.kind} {item.id}{name}"


def route(invite: Invite, items: Iterable[SipItem]) -> Route:
    """What `invite` meets where LiveKit has `items`."""
    known = sorted(items, key=lambda item: item.id)
    trunks = _trunks_for(invite, known)
    if len(trunks) > 1:
        return _undecided(None, trunks[0], trunks[1])
    trunk = next(iter(trunks), None)
    rules = _rules_seen(trunk, known)
    if rivals := first_clash(rules):
        return _undecided(trunk, *rivals)
    best = _best_rule(invite, trunk, rules)
    if best is None:
        return Route(trunk, None, "", _unanswered(trunk))
    room = _room(invite, best)
    return Route(trunk, best, room, _problem(invite, best, room))


def clash(one: SipItem, other: SipItem) -> bool:
    """Whether LiveKit refuses to make one beside the other, whatever their allowed addresses."""
    if (one.kind, one.id) == (other.kind, other.id):
        return False
    return not set(keys(one)).isdisjoint(keys(other))


def first_clash(items: Iterable[SipItem]) -> tuple[SipItem, SipItem] | None:
    """The first of `items` that clashes with one before it, or with itself, and that one."""
    taken: dict[tuple[str, ...], SipItem] = {}
    for item in items:
        for key in keys(item):
            if key in taken:
                return taken[key], item
            taken[key] = item
    return None


def keys(item: SipItem) -> Collection[tuple[str, ...]]:
    """What only one item may have: its called and calling numbers, a rule's trunk and PIN.

    A rule may not even have them twice itself, as with `15550100` and `+15550100`.
    """
    if item.kind is Kind.OUTBOUND_TRUNK:
        return ()
    axes = [[str(item.kind)]]
    if item.kind is Kind.DISPATCH_RULE:
        axes += [[pin_of(item)], item.fields.get("trunk_ids") or [""]]
        names = ("inbound_numbers", "numbers")
    else:
        names = ("allowed_numbers", "numbers")
    axes += [[normalized(n) for n in item.fields.get(name) or [""]] for name in names]
    found = list(product(*axes))
    return found if item.kind is Kind.DISPATCH_RULE else set(found)


def pin_of(rule: SipItem) -> str:
    return str(_content(rule).get("pin", ""))


def prefix_of(rule: SipItem) -> str:
    """What the room's name begins with, or for a direct rule is."""
    content = _content(rule)
    return str(content.get("room_name") or content.get("room_prefix") or "")


def normalized(number: str) -> str:
    """As LiveKit compares numbers: bare digits after a `+`; anything else as it is."""
    if not _NUMBER.fullmatch(number):
        return number
    return "+" + re.sub(r"[+\- ()]", "", number)


def allows(masks: Sequence[str], source_ip: str, host: str) -> bool:
    """Whether allowed addresses let an INVITE in: addresses, networks, or its From's host.

    Without any that LiveKit can use, everybody is allowed.
    """
    try:
        source = ip_address(source_ip)
    except ValueError:
        return True
    usable = [mask for mask in masks if not _NOT_A_MASK.search(mask)]
    return not usable or any(mask == host or _covers(mask, source) for mask in usable)


def network(mask: str) -> IPv4Network | IPv6Network | None:
    """The addresses that `mask` stands for at LiveKit; None if it is no address or network."""
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


def _trunks_for(invite: Invite, items: Sequence[SipItem]) -> list[SipItem]:
    """Those that take it, one if all is well: one that names the called number beats the rest."""
    matching = [item for item in items if item.kind is Kind.INBOUND_TRUNK and _lets(item, invite)]
    to = normalized(invite.to_user)
    named = [t for t in matching if to in map(normalized, t.fields.get("numbers", []))]
    return named or [trunk for trunk in matching if not trunk.fields.get("numbers")]


def _lets(trunk: SipItem, invite: Invite) -> bool:
    numbers = [normalized(number) for number in trunk.fields.get("allowed_numbers", [])]
    if numbers and normalized(invite.from_user) not in numbers:
        return False
    return allows(trunk.fields.get("allowed_addresses", []), invite.source_ip, invite.from_host)


def _rules_seen(trunk: SipItem | None, items: Sequence[SipItem]) -> list[SipItem]:
    """The rules that LiveKit looks at: those for the trunk and for all; all without a trunk."""

    def is_seen(rule: SipItem) -> bool:
        trunk_ids = rule.fields.get("trunk_ids", [])
        return trunk is None or not trunk_ids or trunk.id in trunk_ids

    return [item for item in items if item.kind is Kind.DISPATCH_RULE and is_seen(item)]


def _best_rule(invite: Invite, trunk: SipItem | None, rules: Sequence[SipItem]) -> SipItem | None:
    matching = [
        rule
        for rule in rules
        if _is_among(invite.from_user, rule.fields.get("inbound_numbers"))
        and _is_among(invite.to_user, rule.fields.get("numbers"))
    ]
    for_all = [rule for rule in matching if not rule.fields.get("trunk_ids")]
    ours = [rule for rule in matching if trunk and trunk.id in rule.fields.get("trunk_ids", [])]
    return min(ours or for_all, key=_rank, default=None)


def _is_among(user: str, numbers: Sequence[str] | None) -> bool:
    """Rules compare numbers letter by letter; none means any."""
    return not numbers or user in numbers


def _rank(rule: SipItem) -> tuple[int, str]:
    """LiveKit's order: rules for certain numbers, then those with a PIN, then by kind and room."""
    kind = _kind(rule)
    rank = _RULES.index(kind) if kind in _RULES else len(_RULES)
    rank += 0 if pin_of(rule) else 100
    rank += sum(1000 for key in ("inbound_numbers", "numbers") if not rule.fields.get(key))
    return rank, prefix_of(rule)


def _room(invite: Invite, rule: SipItem) -> str:
    prefix, kind = prefix_of(rule), _kind(rule)
    if kind == "dispatch_rule_direct":
        return prefix
    user = invite.to_user
    if kind == "dispatch_rule_individual":
        user = _masked(invite.from_user) if _hides(rule) else invite.from_user
    parts = [prefix] if prefix else []
    return "_".join([*parts, user, *([RANDOM_END] if _is_random(rule) else [])])


def _hides(rule: SipItem) -> bool:
    return bool(rule.fields.get("hide_phone_number"))


def _masked(user: str) -> str:
    return user[-4:] if len(user) > 4 else user[-1:]


def _undecided(trunk: SipItem | None, one: SipItem, other: SipItem) -> Route:
    both = f"{called(one)} and {called(other)} both take it"
    what = f"{called(one)} names a number twice" if one is other else both
    problem = f'{what}: LiveKit cannot choose and answers 503 "Try again later"'
    return Route(trunk, None, "", problem, (one, other))


def _problem(invite: Invite, rule: SipItem, room: str) -> str:
    if pin_of(rule):
        what = "asks the caller for a PIN"
    elif _is_random(rule):
        what = "gives each room's name a random end"
    elif room == invite.to_user:
        return ""
    else:
        what = {
            "dispatch_rule_direct": f"puts every call into room {room!r}",
            "dispatch_rule_individual": "names the room after the caller, not the called user",
            "dispatch_rule_callee": f"puts {prefix_of(rule)!r} and a '_' before the name",
        }.get(_kind(rule), "is of a kind that is not known here")
    return f"{called(rule)} {what}"


def _unanswered(trunk: SipItem | None) -> str:
    what = f"no dispatch rule is for {called(trunk)}" if trunk else "no inbound trunk takes it"
    return f"{what}: it rings unanswered until LiveKit drops it"


def _kind(rule: SipItem) -> str:
    return next(iter(rule.fields.get("rule", {})), "")


def _content(rule: SipItem) -> Mapping[str, Any]:
    content: Mapping[str, Any] = rule.fields.get("rule", {}).get(_kind(rule), {})
    return content


def _is_random(rule: SipItem) -> bool:
    content = _content(rule)
    if _kind(rule) == "dispatch_rule_individual":
        return not content.get("no_randomness")
    return bool(content.get("randomize"))
