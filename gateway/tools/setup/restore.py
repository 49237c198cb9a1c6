"""The plan that brings back the trunks and rules of a backup. Does no I/O."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.collisions import collide
from gateway.tools.setup.items import label
from gateway.tools.setup.plan import Action, Plan, Step, with_new_trunk_ids


def plan_restore(saved: Sequence[SipItem], items: Sequence[SipItem]) -> Plan:
    """The plan from `items`, which LiveKit has, to the `saved` ones of a backup.

    LiveKit gives recreated trunks new ids; rules are changed to name these. Setup deleted the saved
    items because they conflict with the managed ones, so the managed ones are deleted now.
    """
    new_ids = _current_trunk_ids(saved, items)
    existing_ids: set[str] = set()
    missing = []
    for item in saved:
        if existing := _find(item, items, new_ids):
            existing_ids.add(existing.id)
        else:
            missing.append(with_new_trunk_ids(item, new_ids))
    return Plan(
        (
            *(Step(Action.CREATE, item, f"{item.id} in the backup") for item in missing),
            *(_existing_step(item, missing, existing_ids, new_ids) for item in items),
        )
    )


def _current_trunk_ids(saved: Iterable[SipItem], items: Sequence[SipItem]) -> dict[str, str]:
    """The current ids of the saved inbound trunks that exist, by the ids in the backup."""
    trunks = (item for item in saved if item.kind is Kind.INBOUND_TRUNK)
    pairs = ((trunk, _find(trunk, items, {})) for trunk in trunks)
    return {trunk.id: current.id for trunk, current in pairs if current}


def _find(saved: SipItem, items: Iterable[SipItem], new_ids: Mapping[str, str]) -> SipItem | None:
    """The item that `saved` is today: the one with its id, even if changed, or with its content."""
    same_kind = [item for item in items if item.kind is saved.kind]
    content = _content(with_new_trunk_ids(saved, new_ids))
    by_id = (item for item in same_kind if item.id == saved.id)
    by_content = (item for item in same_kind if _content(item) == content)
    return next(by_id, None) or next(by_content, None)


def _content(item: SipItem) -> Mapping[str, Any]:
    """The fields that identify an item; LiveKit adds empty fields, and rewrites `media`."""
    return {name: value for name, value in item.fields.items() if value and name != "media"}


def _existing_step(
    item: SipItem,
    missing: Sequence[SipItem],
    existing_ids: Collection[str],
    new_ids: Mapping[str, str],
) -> Step:
    """What happens to an item that LiveKit has when the `missing` ones are created."""
    if item.is_ours and item.kind is not Kind.OUTBOUND_TRUNK:
        reason = "managed; setup without --restore creates it again"
        return Step(Action.DELETE, item, reason)
    if rival := next((other for other in missing if collide(item, other)), None):
        reason = (
            f"LiveKit refuses {label(rival)} of the backup as long as this exists; delete one of "
            "them by hand"
        )
        return Step(Action.CONFLICT, item, reason)
    updated = with_new_trunk_ids(item, new_ids)
    if updated != item or _names_missing(item, missing):
        return Step(Action.UPDATE, updated, "its trunk is created again with another id")
    reason = "in the backup, exists" if item.id in existing_ids else "not in the backup"
    return Step(Action.UNCHANGED, item, reason)


def _names_missing(rule: SipItem, missing: Iterable[SipItem]) -> bool:
    return not {item.id for item in missing}.isdisjoint(rule.fields.get("trunk_ids", []))
