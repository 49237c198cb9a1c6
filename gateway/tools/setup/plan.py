"""The plan: trunks and rules to create, update and delete, and why. Does no I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.config.settings import Config
from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.conflicts import find_conflicts
from gateway.tools.setup.desired import MANAGED_FIELDS, NEW, desired_items


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    UNCHANGED = "unchanged"
    #: A foreign item that would have to be deleted for the plan to be applied.
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Step:
    """`item` as it will be; with DELETE and CONFLICT, as it is.

    The id of an item to create is only what rules of the same plan name it by: LiveKit chooses
    another one.
    """

    action: Action
    item: SipItem
    reason: str

    @property
    def key(self) -> tuple[Action, Kind, str]:
        """Equal for the same step of two plans, even if the reasons differ."""
        return self.action, self.item.kind, self.item.id


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something, in an order that LiveKit accepts."""
        return tuple(sorted((s for s in self.steps if s.action in _CHANGES), key=_order))

    @property
    def conflicts(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.action is Action.CONFLICT)

    @property
    def foreign_deletions(self) -> tuple[SipItem, ...]:
        """Items that are deleted although setup did not create them: they need a backup."""
        return tuple(
            step.item
            for step in self.steps
            if step.action is Action.DELETE and not step.item.is_ours
        )

    @property
    def result(self) -> tuple[SipItem, ...]:
        """The items that LiveKit has once the plan is applied and its conflicts are resolved."""
        return tuple(step.item for step in self.steps if step.action not in _REMOVED)


_CHANGES = (Action.DELETE, Action.UPDATE, Action.CREATE)
_REMOVED = (Action.DELETE, Action.CONFLICT)


def _order(step: Step) -> tuple[bool, int, int, str]:
    """Deletions first. A rule is deleted before its trunk, and created after it.

    Otherwise a run that fails in between would leave a rule for a trunk that no longer exists, and
    the next run could not see that the rule was to be deleted too.
    """
    kind = list(Kind).index(step.item.kind)
    if step.action is Action.DELETE:
        return False, -kind, 0, step.item.id
    return True, kind, _CHANGES.index(step.action), step.item.id


def with_new_trunk_ids(item: SipItem, new_ids: Mapping[str, str]) -> SipItem:
    """`item` with those of its `trunk_ids` replaced that are keys of `new_ids`."""
    trunk_ids = item.fields.get("trunk_ids", [])
    if not any(trunk_id in new_ids for trunk_id in trunk_ids):
        return item
    replaced = [new_ids.get(trunk_id, trunk_id) for trunk_id in trunk_ids]
    return SipItem(item.kind, item.id, {**item.fields, "trunk_ids": replaced})


def plan_setup(config: Config, items: Sequence[SipItem], *, prune: bool) -> Plan:
    """The plan from `items`, which LiveKit has, to the desired state. Raises ConfigError."""
    desired = {item.kind: item for item in desired_items(config)}
    steps: list[Step] = []
    for kind in Kind:
        managed = [item for item in items if item.kind is kind and item.is_ours]
        steps += _managed_steps(kind, _with_trunk(desired.get(kind), steps), managed)
    return Plan((*steps, *_foreign_steps(config, items, steps, prune=prune)))


def _with_trunk(desired: SipItem | None, steps: Iterable[Step]) -> SipItem | None:
    """A dispatch rule with the id of the managed inbound trunk, if that exists already."""
    if desired is None or desired.kind is not Kind.DISPATCH_RULE:
        return desired
    existing = (
        step.item.id
        for step in steps
        if step.item.kind is Kind.INBOUND_TRUNK and step.action in {Action.UNCHANGED, Action.UPDATE}
    )
    return with_new_trunk_ids(desired, {NEW: next(existing, NEW)})


def _managed_steps(kind: Kind, desired: SipItem | None, managed: Sequence[SipItem]) -> list[Step]:
    """Of several managed items the one with the first id stays, so that concurrent setups agree."""
    if not managed:
        return [Step(Action.CREATE, desired, _PURPOSE[kind])] if desired else []
    first, *rest = sorted(managed, key=lambda item: item.id)
    return [
        _update(first, desired) if desired else _not_desired(first),
        *(Step(Action.DELETE, item, "managed, but a duplicate") for item in rest),
    ]


_PURPOSE = {
    Kind.INBOUND_TRUNK: "accepts the calls that Jambonz sends",
    Kind.DISPATCH_RULE: "puts each call into the room named like the called user",
    Kind.OUTBOUND_TRUNK: "lets LiveKit place calls",
}


def _not_desired(item: SipItem) -> Step:
    if item.kind is Kind.OUTBOUND_TRUNK:
        reason = (
            "managed, from an earlier setup; trunks.outbound_address is no longer set, but calls "
            "may still use the trunk"
        )
        return Step(Action.UNCHANGED, item, reason)
    return Step(Action.DELETE, item, "managed; inbound.strategy participant does not need it")


def _update(item: SipItem, desired: SipItem) -> Step:
    fields = _merged(item, desired)
    differing = [
        name
        for name in MANAGED_FIELDS[item.kind]
        if (item.fields.get(name) or None) != fields.get(name)
    ]
    if not differing:
        return Step(Action.UNCHANGED, item, "managed, as desired")
    reason = "; ".join(_difference(name, item.fields, fields) for name in differing)
    return Step(Action.UPDATE, SipItem(item.kind, item.id, fields), reason)


def _merged(item: SipItem, desired: SipItem) -> dict[str, Any]:
    """The fields of `item`, the managed ones as desired. Attributes that users added stay."""
    fields = dict(item.fields)
    for name in MANAGED_FIELDS[item.kind]:
        value = desired.fields.get(name)
        if isinstance(value, Mapping) and name == "headers_to_attributes":
            value = {**fields.get(name, {}), **value}
        elif name == "media":
            # Codecs that users chose stay. LiveKit repeats the encryption in a deprecated field.
            others = {k: v for k, v in fields.get(name, {}).items() if k != "encryption"}
            value = {**others, **(value or {})}
            fields.pop("media_encryption", None)
        if value:
            fields[name] = value
        else:
            fields.pop(name, None)
    return fields


def _difference(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name == "auth_password":
        return "auth_password differs"
    return f"{name} {_as_text(old.get(name))} → {_as_text(new.get(name))}"


def _as_text(value: Any) -> str:
    if not value:
        return "(none)"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_as_text(part)}" if part else key for key, part in value.items())
    return str(value)


def _foreign_steps(
    config: Config, items: Sequence[SipItem], steps: Sequence[Step], *, prune: bool
) -> list[Step]:
    foreign = [item for item in items if not item.is_ours]
    changing = {step.item.kind for step in steps if step.action in {Action.CREATE, Action.UPDATE}}
    managed = Plan(tuple(steps)).result if config.inbound.strategy == "room" else ()
    reasons = find_conflicts(managed, foreign, config.trunks.inbound_addresses, changing)
    action = Action.DELETE if prune else Action.CONFLICT
    return [
        Step(action, item, reasons[item.kind, item.id])
        if (item.kind, item.id) in reasons
        else Step(Action.UNCHANGED, item, "not managed, no conflict")
        for item in foreign
    ]
