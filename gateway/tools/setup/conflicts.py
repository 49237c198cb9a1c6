"""Foreign trunks and rules that take calls of the managed ones, or that collide with them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import product

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.collisions import unique_keys
from gateway.tools.setup.items import label
from gateway.tools.setup.routing import Invite, Route, network, route

#: The called user of a probe: stands for the room names that the gateway has Jambonz dial.
CALLED_USER = "call-…"
#: A caller and a source address that no trunk is likely to name (RFC 5737).
CALLER = "+15550100"
ANY_SOURCE = "203.0.113.1"

#: Kind and id of an item.
Key = tuple[Kind, str]


def find_conflicts(
    managed: Sequence[SipItem],
    foreign: Sequence[SipItem],
    addresses: Sequence[str],
    changing: Collection[Kind],
) -> Mapping[Key, str]:
    """The `foreign` items that have to be deleted so that calls reach `managed`, with the reasons.

    `addresses` are those of Jambonz's SBCs. LiveKit checks the items of a kind against each other
    whenever one of them is created or updated, as will be those of the `changing` kinds.
    """
    if not managed:
        return {}
    reasons = _collisions(managed, [item for item in foreign if item.kind in changing])
    rest = [item for item in foreign if (item.kind, item.id) not in reasons]
    reasons |= _interceptions(managed, rest, probe_invites(addresses, foreign))
    return reasons | _orphans(reasons, foreign)


def probe_invites(addresses: Sequence[str], foreign: Iterable[SipItem] = ()) -> list[Invite]:
    """INVITEs from `addresses`, and the variants that `foreign` items may route differently."""
    items = list(foreign)
    callers = [CALLER] + [number for item in items for number in _caller_numbers(item)]
    sources = [source for address in addresses or [ANY_SOURCE] for source in _sources(address)]
    for item in items:
        sources += _overlaps(addresses, item.fields.get("allowed_addresses", []))
    pairs = dict.fromkeys(product(sources, callers))
    return [Invite(caller, CALLED_USER, ip, host) for (ip, host), caller in pairs]


def _caller_numbers(item: SipItem) -> list[str]:
    return [
        *item.fields.get("allowed_numbers", []),
        *item.fields.get("inbound_numbers", []),
    ]


def _sources(address: str) -> list[tuple[str, str]]:
    """An IP of the address or network; for a host name, any IP with the name in From."""
    addresses = network(address)
    return [(ANY_SOURCE, address) if addresses is None else (str(addresses[0]), "")]


def _overlaps(addresses: Sequence[str], masks: Sequence[str]) -> list[tuple[str, str]]:
    """Where `addresses` and `masks` overlap: the first IP of the smaller network.

    No `addresses` stand for all addresses.
    """
    networks = [found for address in addresses if (found := network(address))]
    sources = []
    for mask in masks:
        allowed = network(mask)
        if allowed is None:
            continue
        if not addresses or any(allowed[0] in net for net in networks):
            sources.append((str(allowed[0]), ""))
        sources += [(str(net[0]), "") for net in networks if net[0] in allowed]
    return sources


def _collisions(managed: Sequence[SipItem], foreign: Sequence[SipItem]) -> dict[Key, str]:
    """The foreign items because of which LiveKit refuses a managed one, or any."""
    owners = {key: item for item in managed for key in unique_keys(item)}
    reasons = {}
    for item in sorted(foreign, key=lambda item: item.id):
        rival = next((owners[key] for key in unique_keys(item) if key in owners), None)
        if rival is None:
            owners |= dict.fromkeys(unique_keys(item), item)
        elif rival in managed:
            reasons[item.kind, item.id] = _COLLIDES_WITH_MANAGED[item.kind]
        else:
            reasons[item.kind, item.id] = (
                f"collides with {label(rival)}: while both exist, LiveKit creates and updates none"
            )
    return reasons


_COLLIDES_WITH_MANAGED = {
    Kind.INBOUND_TRUNK: (
        "names no called numbers, like the managed trunk: LiveKit allows only one such trunk, "
        "whatever its addresses"
    ),
    Kind.DISPATCH_RULE: (
        "is for the same trunk and numbers as the managed rule: LiveKit allows only one"
    ),
}


def _interceptions(
    managed: Sequence[SipItem], foreign: Sequence[SipItem], invites: Iterable[Invite]
) -> dict[Key, str]:
    """The foreign items that take a call instead of a managed one, or make LiveKit refuse it."""
    reasons: dict[Key, str] = {}
    remaining = list(foreign)
    for invite in invites:
        while True:
            taken = route(invite, [*managed, *remaining])
            culprit = next((item for item in _items_of(taken) if item in remaining), None)
            if culprit is None:
                break
            reasons[culprit.kind, culprit.id] = _interception(invite, culprit, taken, managed)
            remaining.remove(culprit)
    return reasons


def _items_of(taken: Route) -> list[SipItem]:
    return [item for item in (*taken.rivals, taken.trunk, taken.rule) if item]


def _interception(
    invite: Invite, culprit: SipItem, taken: Route, managed: Sequence[SipItem]
) -> str:
    calls = f"calls of {invite.from_user} from {invite.from_host or invite.source_ip}"
    if rival := next((item for item in taken.rivals if item != culprit), None):
        other = "the managed one" if rival in managed else label(rival)
        return f"takes {calls}, as does {other}: LiveKit cannot choose and answers 503"
    if culprit in taken.rivals:
        return taken.problem
    outcome = f"leads to room {taken.room}" if taken.room else taken.problem
    return f"takes {calls} before the managed one does, and {outcome}"


def _orphans(conflicts: Mapping[Key, str], foreign: Sequence[SipItem]) -> dict[Key, str]:
    """The foreign items that cannot exist, or have no effect, once the conflicts are deleted."""
    deleted = {item_id for _, item_id in conflicts}
    existing = {item.id for item in foreign}
    reasons = {}
    for item in foreign:
        trunk_ids = set(item.fields.get("trunk_ids", []))
        if (item.kind, item.id) in conflicts:
            continue
        if item.id in deleted:
            reasons[item.kind, item.id] = "the same trunk as the inbound trunk with this id"
        elif trunk_ids & deleted and not trunk_ids & (existing - deleted):
            names = ", ".join(sorted(trunk_ids))
            reasons[item.kind, item.id] = f"only for {names}, which is deleted"
    return reasons
