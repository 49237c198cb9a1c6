"""What it takes to have back what a backup holds. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.plan import Action, Plan, Step
from gateway.tools.setup.routing import called, clash


def plan_restore(saved: Sequence[SipItem], items: Sequence[SipItem]) -> Plan:
    """From what LiveKit has to what it had. LiveKit gives new ids; rules are made to follow.

    What setup deleted was in the way of ours, so ours are in the way of its coming back.
    """
    ids = _ids_now(saved, items)
    there: set[str] = set()
    missing = []
    for item in saved:
        if found := _found(item, items, ids):
            there.add(found.id)
        else:
            missing.append(_following(item, ids))
    return Plan(
        (
            *(Step(Action.CREATE, item, f"is {item.id} of the backup") for item in missing),
            *(_beside(item, missing, there, ids) for item in items),
        )
    )


def _ids_now(saved: Iterable[SipItem], items: Sequence[SipItem]) -> dict[str, str]:
    """By the ids that inbound trunks had, those they have; only of trunks that are there."""
    trunks = (item for item in saved if item.kind is Kind.INBOUND_TRUNK)
    found = ((item, _found(item, items, {})) for item in trunks)
    return {item.id: now.id for item, now in found if now}


def _found(item: SipItem, items: Iterable[SipItem], ids: Mapping[str, str]) -> SipItem | None:
    """The one that it is today: by its id, even if it was changed, or by all that it says."""
    likes = [other for other in items if other.kind is item.kind]
    content = _content(_following(item, ids))
    by_id = (other for other in likes if other.id == item.id)
    by_content = (other for other in likes if _content(other) == content)
    return next(by_id, None) or next(by_content, None)


def _content(item: SipItem) -> Mapping[str, Any]:
    """What tells it from others; LiveKit adds empty parts, and rewrites `media`."""
    return {name: value for name, value in item.fields.items() if value and name != "media"}


def _following(rule: SipItem, ids: Mapping[str, str]) -> SipItem:
    trunk_ids = rule.fields.get("trunk_ids", [])
    if not any(old in ids for old in trunk_ids):
        return rule
    fields = {**rule.fields, "trunk_ids": [ids.get(old, old) for old in trunk_ids]}
    return SipItem(rule.kind, rule.id, fields)


def _beside(
    item: SipItem, missing: Sequence[SipItem], there: set[str], ids: Mapping[str, str]
) -> Step:
    """What becomes of one that is there when those that are `missing` come back."""
    if item.is_ours and item.kind is not Kind.OUTBOUND_TRUNK:
        why = "ours: going back means without it; setup plans it again"
        return Step(Action.DELETE, item, why)
    if rival := next((other for other in missing if clash(item, other)), None):
        why = f"LiveKit refuses {called(rival)} of the backup beside it; delete one by hand"
        return Step(Action.BLOCKS, item, why)
    followed = _following(item, ids)
    if followed != item or _names_missing(item, missing):
        return Step(Action.CHANGE, followed, "its trunk comes back under another id")
    why = "in the backup, and there" if item.id in there else "not in the backup"
    return Step(Action.KEEP, item, why)


def _names_missing(rule: SipItem, missing: Iterable[SipItem]) -> bool:
    return not {item.id for item in missing}.isdisjoint(rule.fields.get("trunk_ids", []))
