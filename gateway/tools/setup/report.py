"""A plan as text: a table, the route of an INVITE now and afterwards, warnings. Does no I/O."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.config.settings import Config
from gateway.livekit.trunks import SipItem
from gateway.tools.setup.conflicts import ANY_SOURCE, CALLED_USER, CALLER, probe_invites
from gateway.tools.setup.items import label
from gateway.tools.setup.jambonz import Hook, HooksPlan
from gateway.tools.setup.plan import Action, Plan, Step
from gateway.tools.setup.routing import Invite, Route, route
from gateway.tools.terminal import table

HEAD = ("action", "kind", "id, name", "reason")
#: Of action, kind, id and name; the reason fills the line.
WIDTHS = (10, 14, 24)


def plan_table(plan: Plan, hooks: HooksPlan | None) -> str:
    """Conflicts and changes first, then what stays unchanged."""
    rows = [
        (row.action, row.kind, "\n".join(filter(None, [row.id, row.name])), row.reason)
        for row in _rows(plan, hooks)
    ]
    return table(rows, WIDTHS, HEAD)


def plan_json(plan: Plan, hooks: HooksPlan | None) -> list[Mapping[str, str]]:
    """The rows of the table; the `id` of an item to create is ""."""
    return [row._asdict() | ({"id": ""} if row.id == _NEW_ID else {}) for row in _rows(plan, hooks)]


class _Row(NamedTuple):
    action: str
    kind: str
    id: str
    name: str
    reason: str


_NEW_ID = "(new)"


def _rows(plan: Plan, hooks: HooksPlan | None) -> list[_Row]:
    unchanged = [step for step in plan.steps if step.action is Action.UNCHANGED]
    rows = [_row(step) for step in (*plan.conflicts, *plan.changes, *unchanged)]
    return rows + (_hook_rows(hooks) if hooks else [])


def _row(step: Step) -> _Row:
    item_id = _NEW_ID if step.action is Action.CREATE else step.item.id
    return _Row(str(step.action), str(step.item.kind), item_id, step.item.name, step.reason)


def _hook_rows(plan: HooksPlan) -> list[_Row]:
    rows: list[_Row] = []
    for name in plan.desired:
        change, current = plan.changes.get(name), plan.application.hooks.get(name)
        if change:
            action, reason = Action.UPDATE, f"{_hook_text(current)}\nbecomes\n{change.url}"
        else:
            action, reason = Action.UNCHANGED, f"leads to the gateway: {_hook_text(current)}"
        rows.append(_Row(str(action), "Jambonz hook", name, plan.application.name, reason))
    return rows


def _hook_text(hook: Hook | None) -> str:
    """A hook without the parts of its URL that may be secret."""
    if hook is None:
        return "(none)"
    method = "" if hook.method == "POST" else f"{hook.method} "
    parts = urlsplit(hook.url)
    query = "?…" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    host = parts.netloc.rpartition("@")[2]
    return f"{method}{parts.scheme}://{host}{parts.path}{query}{fragment}"


def routes(config: Config, before: Sequence[SipItem], plan: Plan) -> str:
    """The route of an INVITE for a call now, and once the plan is applied; "" if there is none."""
    if config.inbound.strategy != "room":
        return ""
    now, afterwards = (_route_rows(config, items) for items in (before, plan.result))
    rows = [("now", *row) for row in now]
    rows += [("then", *row) for row in afterwards] if afterwards != now else []
    return f"Route of an INVITE for {CALLED_USER}:\n\n{table(rows, (4, 20))}"


def _route_rows(config: Config, items: Sequence[SipItem]) -> list[tuple[str, str]]:
    """Sources and their route; sources with the same route share a row."""
    sources: dict[str, list[str]] = {}
    for invite in probe_invites(config.trunks.inbound_addresses):
        sources.setdefault(_route_text(route(invite, items)), []).append(_source(invite))
    return [("\n".join(same_route), text) for text, same_route in sources.items()]


def _source(invite: Invite) -> str:
    return invite.from_host or ("any" if invite.source_ip == ANY_SOURCE else invite.source_ip)


def _route_text(found: Route) -> str:
    lines = [label(item) for item in (found.trunk, found.rule) if item]
    if found.requires_digest:
        lines[0] += ", which asks for credentials"
    lines += [f"room {found.room}"] if found.room else []
    return "\n".join([*lines, *([f"✗ {found.problem}"] if found.problem else [])])


def open_access(plan: Plan) -> list[str]:
    """A warning if an INVITE that no trunk accepts reaches a room nevertheless; else nothing."""
    found = route(Invite(CALLER, CALLED_USER, ANY_SOURCE), plan.result)
    if found.trunk or not found.rule:
        return []
    return [
        f"{label(found.rule)} is for all trunks: with it, a self-hosted LiveKit accepts INVITEs "
        "from every address, also from those that no trunk allows"
    ]
