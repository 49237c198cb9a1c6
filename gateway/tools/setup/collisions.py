"""Trunks and rules of which LiveKit accepts only one. Does no I/O."""

from collections.abc import Collection, Iterable
from itertools import product

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.items import normalized, pin_of


def collide(first: SipItem, second: SipItem) -> bool:
    """Whether LiveKit refuses to create the second while the first exists.

    Their allowed addresses do not matter.
    """
    if (first.kind, first.id) == (second.kind, second.id):
        return False
    return not set(unique_keys(first)).isdisjoint(unique_keys(second))


def first_collision(items: Iterable[SipItem]) -> tuple[SipItem, SipItem] | None:
    """The first item that collides with an earlier one, or with itself, after that earlier one."""
    owners: dict[tuple[str, ...], SipItem] = {}
    for item in items:
        for key in unique_keys(item):
            if key in owners:
                return owners[key], item
            owners[key] = item
    return None


def unique_keys(item: SipItem) -> Collection[tuple[str, ...]]:
    """The combinations of called and calling number, and of a rule's trunk and PIN, of an item.

    LiveKit allows each once. A rule must not have one twice either, as by `15550100` and
    `+15550100`.
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
    combinations = list(product(*axes))
    return combinations if item.kind is Kind.DISPATCH_RULE else set(combinations)
