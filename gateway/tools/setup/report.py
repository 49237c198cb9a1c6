"""A plan as lines for a terminal: a table, what an INVITE meets before and after, notes. Pure."""

from collections.abc import Sequence
from textwrap import wrap
from urllib.parse import urlsplit

from gateway.config.settings import Config
from gateway.livekit.trunks import SipItem
from gateway.tools.setup.conflicts import CALLED, CALLER, SOMEWHERE, probes
from gateway.tools.setup.jambonz import Hook, HooksPlan
from gateway.tools.setup.plan import Action, Plan, Step
from gateway.tools.setup.routing import Invite, Route, called, route
from gateway.tools.setup.table import WIDTH, table

#: Of what, kind, id and name; the reason gets the rest.
WIDTHS = (10, 14, 24)
HEAD = ("what", "kind", "id, name", "why")


def plan_table(plan: Plan, hooks: HooksPlan | None) -> str:
    """What is to be done comes first, then what stays."""
    idle = [step for step in plan.steps if step.action is Action.KEEP]
    rows = [_row(step) for step in (*plan.in_the_way, *plan.to_do, *idle)]
    rows += _hook_rows(hooks) if hooks else []
    rule = tuple("-" * width for width in (*WIDTHS, WIDTH - sum(WIDTHS) - 2 * len(WIDTHS)))
    return table([HEAD, rule, *rows], WIDTHS)


def _row(step: Step) -> tuple[str, ...]:
    item_id = "(new)" if step.action is Action.CREATE else step.item.id
    name = "\n".join(part for part in (item_id, step.item.name) if part)
    return str(step.action), str(step.item.kind), name, step.why


def _hook_rows(plan: HooksPlan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, url in plan.wanted.items():
        change, now = plan.changes.get(name), plan.application.hooks.get(name)
        why = f"{_shown(now)}\nbecomes\n{change.url}" if change else f"leads here: {url}"
        what = Action.CHANGE if change else Action.KEEP
        rows.append((str(what), "Jambonz hook", f"{name}\n{plan.application.name}", why))
    return rows


def _shown(hook: Hook | None) -> str:
    """A hook of others without what could be secret in it."""
    if hook is None:
        return "(none)"
    method = "" if hook.method == "POST" else f"{hook.method} "
    parts = urlsplit(hook.url)
    query = "?…" if parts.query else ""
    fragment = f"#{parts.fragment}" if parts.fragment else ""
    host = parts.netloc.rpartition("@")[2]
    return f"{method}{parts.scheme}://{host}{parts.path}{query}{fragment}"


def routes(config: Config, before: Sequence[SipItem], plan: Plan) -> str:
    """What an INVITE for one of our calls meets now and once the plan is carried out; or ""."""
    if config.inbound.strategy != "room":
        return ""
    now, then = (_met(config, items) for items in (before, plan.items))
    rows = [("now", *row) for row in now]
    rows += [("then", *row) for row in then] if then != now else []
    return f"What an INVITE for {CALLED} meets:\n\n{table(rows, (4, 20))}"


def _met(config: Config, items: Sequence[SipItem]) -> list[tuple[str, str]]:
    """Where it comes from, and what that meets; sources that meet the same are one row."""
    sources: dict[str, list[str]] = {}
    for invite in probes(config.trunks.inbound_addresses):
        sources.setdefault(_public_fields(route(invite, items)), []).append(_source(invite))
    return [("\n".join(from_there), met) for met, from_there in sources.items()]


def _source(invite: Invite) -> str:
    return invite.from_host or ("anywhere" if invite.source_ip == SOMEWHERE else invite.source_ip)


def _public_fields(met: Route) -> str:
    lines = [called(item) for item in (met.trunk, met.rule) if item]
    if met.asks_digest:
        lines[0] += ", which asks for credentials"
    lines += [f"room {met.room}"] if met.room else []
    return "\n".join([*lines, *([f"✗ {met.problem}"] if met.problem else [])])


def open_door(plan: Plan) -> list[str]:
    """A warning if somebody whom no trunk allows would get into a room all the same."""
    met = route(Invite(CALLER, CALLED, SOMEWHERE), plan.items)
    if met.trunk or not met.rule:
        return []
    return [
        f"{called(met.rule)} is for all trunks: a LiveKit of one's own then takes INVITEs of "
        "anybody, whom no trunk allows"
    ]


def note(text: str) -> str:
    """`text` in lines that fit, those after the first indented."""
    lines = wrap(
        text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)
