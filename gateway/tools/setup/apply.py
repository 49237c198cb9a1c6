"""Applying a plan at LiveKit, step by step; after a failure, the next run continues."""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.errors import GatewayError, LiveKitError
from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.errors import explain
from gateway.tools.setup.items import label
from gateway.tools.setup.plan import Action, Plan, Step, with_new_trunk_ids
from gateway.tools.terminal import Print

#: How often a plan is made and applied if LiveKit changes meanwhile, as through another setup.
MAX_ROUNDS = 5

#: Makes the plan from the items that LiveKit has.
Planner = Callable[[Sequence[SipItem]], Plan]


class SipStore(Protocol):
    """The part of `livekit.trunks.Trunks` that is needed here. Methods raise LiveKitError."""

    async def listed(self) -> list[SipItem]: ...
    async def create(self, item: SipItem) -> SipItem: ...
    async def replace(self, item: SipItem) -> SipItem: ...
    async def delete(self, item: SipItem) -> None: ...


class ApplyFailed(GatewayError):
    """The plan is not applied as a whole; the text has the cause, what remains, and what to do."""


class _StepFailed(Exception):
    """A step failed; `remaining` are that step and those after it."""

    def __init__(self, remaining: Sequence[Step], cause: LiveKitError) -> None:
        super().__init__(str(cause))
        self.remaining = remaining
        self.cause = cause


async def apply_plan(plan: Plan, planner: Planner, store: SipStore, print_line: Print) -> None:
    """Apply `plan`, make a new plan, and continue until there are no changes left.

    Deletes no foreign item that `plan` does not delete: only those are in the backup. Raises
    ApplyFailed.
    """
    in_backup = {(item.kind, item.id) for item in plan.foreign_deletions}
    for _ in range(MAX_ROUNDS):
        failure = await _apply_steps(plan, store, print_line)
        try:
            plan = planner(await store.listed())
        except LiveKitError as error:
            raise _apply_failed(failure or _StepFailed(plan.changes, error)) from error
        if not plan.changes and not plan.conflicts:
            return
        if failure and failure.remaining[0].key in {step.key for step in plan.changes}:
            raise _apply_failed(failure) from failure.cause
        deletions = {(item.kind, item.id) for item in plan.foreign_deletions}
        if plan.conflicts or not deletions <= in_backup:
            break
        print_line("LiveKit changed in the meantime, as through another setup; continuing:")
    raise ApplyFailed(
        "LiveKit changed in the meantime, and the plan is not applied as a whole: run setup again "
        "to see what remains"
    )


async def _apply_steps(plan: Plan, store: SipStore, print_line: Print) -> _StepFailed | None:
    """Apply the plan's changes in order; returns the failure that ended it."""
    created_ids: dict[str, str] = {}
    for number, step in enumerate(plan.changes):
        try:
            item = await _apply_step(step.action, with_new_trunk_ids(step.item, created_ids), store)
        except LiveKitError as error:
            return _StepFailed(plan.changes[number:], error)
        if step.action is Action.CREATE and step.item.kind is Kind.INBOUND_TRUNK:
            created_ids[step.item.id] = item.id
        print_line(f"  {_PAST_TENSE[step.action]}  {label(item)}")
    return None


_PAST_TENSE = {Action.CREATE: "created", Action.UPDATE: "updated", Action.DELETE: "deleted"}


async def _apply_step(action: Action, item: SipItem, store: SipStore) -> SipItem:
    """Returns the item as LiveKit has it now, or had it."""
    if action is Action.CREATE:
        return await store.create(item)
    if action is Action.UPDATE:
        return await store.replace(item)
    await store.delete(item)
    return item


def _apply_failed(failure: _StepFailed) -> ApplyFailed:
    failed, *rest = failure.remaining
    lines = [
        f"could not {failed.action} {label(failed.item)}: {explain(failure.cause)}",
        *(f"  still to do: {step.action} {label(step.item)}" for step in rest),
        "Solve this, then run the same command again: it continues from here.",
    ]
    return ApplyFailed("\n".join(lines))
