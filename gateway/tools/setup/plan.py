"""What setup would do at LiveKit, step by step, and why. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.config.settings import Config
from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.conflicts import obstacles
from gateway.tools.setup.desired import MANAGED, NEW, wanted_items


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    KEEP = "keep"
    #: Not ours, and it would have to be deleted for the rest to be done.
    BLOCKS = "in the way"


@dataclass(frozen=True, slots=True)
class Step:
    """`item` as it will be, or as it is where it goes or blocks.

    The id of one to be made is what rules of the same plan name it by, not the one it will get.
    """

    action: Action
    item: SipItem
    why: str

    @property
    def key(self) -> tuple[Action, Kind, str]:
        """What it is about; a later plan may say more of the same step."""
        return self.action, self.item.kind, self.item.id


@dataclass(frozen=True, slots=True)
class Plan:
    steps: tuple[Step, ...]

    @property
    def to_do(self) -> tuple[Step, ...]:
        """What changes something, in an order that LiveKit takes."""
        return tuple(sorted((s for s in self.steps if s.action in _ORDER), key=_turn))

    @property
    def in_the_way(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.action is Action.BLOCKS)

    @property
    def lost(self) -> tuple[SipItem, ...]:
        """What is deleted without being ours: to be backed up first."""
        return tuple(
            step.item
            for step in self.steps
            if step.action is Action.DELETE and not step.item.is_ours
        )

    @property
    def items(self) -> tuple[SipItem, ...]:
        """What LiveKit will have, once nothing is in the way."""
        return tuple(step.item for step in self.steps if step.action not in _GOES)


_ORDER = (Action.DELETE, Action.CHANGE, Action.CREATE)
_GOES = (Action.DELETE, Action.BLOCKS)


def _turn(step: Step) -> tuple[bool, int, int, str]:
    """Deletions make room for the rest. A rule goes before its trunk, and comes after it.

    Else a run that stops in between would leave a rule for a trunk that is gone, which tells
    nobody any more that it was to go too.
    """
    kind = list(Kind).index(step.item.kind)
    if step.action is Action.DELETE:
        return False, -kind, 0, step.item.id
    return True, kind, _ORDER.index(step.action), step.item.id


def plan_setup(config: Config, items: Sequence[SipItem], *, prune: bool) -> Plan:
    """From what LiveKit has to what the settings ask for. Raises ConfigError."""
    wanted = {item.kind: item for item in wanted_items(config)}
    steps: list[Step] = []
    for kind in Kind:
        ours = [item for item in items if item.kind is kind and item.is_ours]
        steps += _for_ours(kind, _with_trunk(wanted.get(kind), steps), ours)
    return Plan((*steps, *_for_others(config, items, steps, prune=prune)))


def _with_trunk(wanted: SipItem | None, steps: Iterable[Step]) -> SipItem | None:
    """The rule names the trunk that is to stay, by its id."""
    stays = (s.item.id for s in steps if s.item.kind is Kind.INBOUND_TRUNK and s.action in _STAYS)
    if wanted is None or wanted.kind is not Kind.DISPATCH_RULE:
        return wanted
    return SipItem(wanted.kind, wanted.id, {**wanted.fields, "trunk_ids": [next(stays, NEW)]})


_STAYS = (Action.KEEP, Action.CHANGE)


def _for_ours(kind: Kind, wanted: SipItem | None, ours: Sequence[SipItem]) -> list[Step]:
    """Of several of ours the one with the first id stays, so that two setups at once agree."""
    if not ours:
        return [Step(Action.CREATE, wanted, _PURPOSE[kind])] if wanted else []
    first, *rest = sorted(ours, key=lambda item: item.id)
    return [
        _adjusted(first, wanted) if wanted else _unwanted(first),
        *(Step(Action.DELETE, item, "a second one of ours") for item in rest),
    ]


_PURPOSE = {
    Kind.INBOUND_TRUNK: "takes the calls that Jambonz sends",
    Kind.DISPATCH_RULE: "puts each call into the room that is named as the called user",
    Kind.OUTBOUND_TRUNK: "lets LiveKit call out",
}


def _unwanted(item: SipItem) -> Step:
    if item.kind is Kind.OUTBOUND_TRUNK:
        why = "ours from before; trunks.outbound_address is not set, yet calls may need it"
        return Step(Action.KEEP, item, why)
    return Step(Action.DELETE, item, "ours; inbound.strategy participant needs none")


def _adjusted(item: SipItem, wanted: SipItem) -> Step:
    fields = _merged(item, wanted)
    differing = [name for name in MANAGED[item.kind] if item.fields.get(name) != fields.get(name)]
    if not differing:
        return Step(Action.KEEP, item, "ours, as it should be")
    why = "; ".join(_difference(name, item.fields, fields) for name in differing)
    return Step(Action.CHANGE, SipItem(item.kind, item.id, fields), why)


def _merged(item: SipItem, wanted: SipItem) -> dict[str, Any]:
    """The fields of `item` with those that are managed as wanted; added attributes stay."""
    fields = dict(item.fields)
    for name in MANAGED[item.kind]:
        value = wanted.fields.get(name)
        if isinstance(value, Mapping) and name == "headers_to_attributes":
            value = {**fields.get(name, {}), **value}
        if value:
            fields[name] = value
        else:
            fields.pop(name, None)
    return fields


def _difference(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name == "auth_password":
        return "auth_password differs"
    return f"{name} {_shown(old.get(name))} → {_shown(new.get(name))}"


def _shown(value: Any) -> str:
    if not value:
        return "(none)"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_shown(part)}" if part else key for key, part in value.items())
    return str(value)


def _for_others(
    config: Config, items: Sequence[SipItem], steps: Sequence[Step], *, prune: bool
) -> list[Step]:
    others = [item for item in items if not item.is_ours]
    new = {step.item.kind for step in steps if step.action in {Action.CREATE, Action.CHANGE}}
    goal = Plan(tuple(steps)).items if config.inbound.strategy == "room" else ()
    reasons = obstacles(goal, others, config.trunks.inbound_addresses, new)
    action = Action.DELETE if prune else Action.BLOCKS
    return [
        Step(action, item, reasons[item.kind, item.id])
        if (item.kind, item.id) in reasons
        else Step(Action.KEEP, item, "not ours, not in the way")
        for item in others
    ]
