"""Carrying out a plan at LiveKit: each step is told, and what stops it; a re-run goes on."""

from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.errors import GatewayError, LiveKitError
from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.errors import explained
from gateway.tools.setup.plan import Action, Plan, Step
from gateway.tools.setup.routing import called

#: So often the plan is made anew if LiveKit has changed meanwhile, as by another setup.
ROUNDS = 5

#: Called with a line for the person who runs this.
Print = Callable[[str], object]
#: Makes the plan from what LiveKit has.
Planner = Callable[[Sequence[SipItem]], Plan]


class SipStore(Protocol):
    """`livekit.trunks.Trunks`, as far as it is needed here."""

    async def listed(self) -> list[SipItem]: ...
    async def create(self, item: SipItem) -> SipItem: ...
    async def replace(self, item: SipItem) -> SipItem: ...
    async def delete(self, item: SipItem) -> None: ...


class ApplyFailed(GatewayError):
    """LiveKit is not as planned; the text says what stopped it, what is left, and what to do."""


class _Stopped(Exception):
    """A step failed; `left` are it and those after it."""

    def __init__(self, left: Sequence[Step], cause: LiveKitError) -> None:
        super().__init__(str(cause))
        self.left = left
        self.cause = cause


async def apply_plan(plan: Plan, planner: Planner, store: SipStore, say: Print) -> None:
    """Carry out `plan`, look again, and go on until there is nothing to do.

    Nothing of others is deleted that `plan` does not delete: only that is in the backup. Raises
    NotBroughtAbout.
    """
    saved = {(item.kind, item.id) for item in plan.lost}
    for _ in range(ROUNDS):
        stopped = await _carry_out(plan, store, say)
        try:
            plan = planner(await store.listed())
        except LiveKitError as error:
            raise _given_up(stopped or _Stopped(plan.to_do, error)) from error
        if not plan.to_do and not plan.in_the_way:
            return
        if stopped and stopped.left[0].key in {step.key for step in plan.to_do}:
            raise _given_up(stopped) from stopped.cause
        if plan.in_the_way or not saved.issuperset((i.kind, i.id) for i in plan.lost):
            break
        say("LiveKit was changed meanwhile, as by another setup; going on with what is left:")
    raise ApplyFailed(
        "LiveKit was changed meanwhile, and is not as planned yet: run setup again to see what is "
        "left"
    )


async def _carry_out(plan: Plan, store: SipStore, say: Print) -> _Stopped | None:
    ids: dict[str, str] = {}
    for number, step in enumerate(plan.to_do):
        try:
            item = await _done(_following(step, ids), store)
        except LiveKitError as error:
            return _Stopped(plan.to_do[number:], error)
        if step.action is Action.CREATE and step.item.kind is Kind.INBOUND_TRUNK:
            ids[step.item.id] = item.id
        say(f"  {_DONE[step.action]}  {called(item)}")
    return None


_DONE = {Action.CREATE: "created", Action.CHANGE: "changed", Action.DELETE: "deleted"}


async def _done(step: Step, store: SipStore) -> SipItem:
    if step.action is Action.CREATE:
        return await store.create(step.item)
    if step.action is Action.CHANGE:
        return await store.replace(step.item)
    await store.delete(step.item)
    return step.item


def _following(step: Step, ids: dict[str, str]) -> Step:
    """The step with the ids that trunks of this plan got when they were made."""
    trunk_ids = step.item.fields.get("trunk_ids", [])
    if not any(planned in ids for planned in trunk_ids):
        return step
    fields = {**step.item.fields, "trunk_ids": [ids.get(planned, planned) for planned in trunk_ids]}
    return Step(step.action, SipItem(step.item.kind, step.item.id, fields), step.why)


def _given_up(stopped: _Stopped) -> ApplyFailed:
    failed, *rest = stopped.left
    lines = [
        f"could not {failed.action} {called(failed.item)}: {explained(stopped.cause)}",
        *(f"  still to do: {step.action} {called(step.item)}" for step in rest),
        "Run the same again once that is mended: it goes on from here.",
    ]
    return ApplyFailed("\n".join(lines))
