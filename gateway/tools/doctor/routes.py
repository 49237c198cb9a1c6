"""Checks of call routing at LiveKit: inbound trunk and dispatch rule, outbound trunk, setup."""

from collections.abc import Sequence
from functools import partial

from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.livekit.trunks import Kind, SipItem, Trunks
from gateway.tools.doctor.check import Check, Finding, combined, fail, ok, skip, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.sip import addresses_of, host_and_port
from gateway.tools.setup.conflicts import CALLED_USER, probe_invites
from gateway.tools.setup.items import label
from gateway.tools.setup.plan import plan_setup
from gateway.tools.setup.routing import Invite, Route, route

#: How many misrouted INVITEs are reported; more add nothing new.
REPORTED_INVITES = 4

_PLAN = "python -m gateway setup"
_APPLY = f"{_PLAN} --apply"
_PRUNE = f"{_PLAN} shows the conflicts; {_PLAN} --prune --apply backs them up and deletes them"
_ADDRESSES = (
    f"set trunks.inbound_addresses in config.yaml, the addresses of Jambonz's SBCs; then {_APPLY}"
)


def checks(context: Context) -> list[Check]:
    needs = ("livekit_sip",)
    return [
        Check("inbound_route", "inbound route", partial(_inbound, context), needs),
        Check("outbound_trunk", "outbound trunk", partial(_outbound, context), needs),
        Check("setup", "setup", partial(_setup, context), needs),
    ]


async def _inbound(context: Context) -> Finding:
    items = await Trunks(context.livekit).listed()
    if context.config.inbound.strategy == "room":
        return inbound_route(context.config, items)
    trunk = outbound_item(items, configured=context.config.outbound.trunk_id, prefer_own=True)
    if trunk is None:
        message = (
            "LiveKit has no outbound trunk to call Jambonz by, as inbound.strategy participant is"
        )
        return fail(
            message, f"trunks.outbound_address in config.yaml, Jambonz's SBC; then {_APPLY}"
        )
    findings = [ok(f"LiveKit calls Jambonz by {label(trunk)}"), await _address(trunk)]
    return combined(findings)


def inbound_route(config: Config, items: Sequence[SipItem]) -> Finding:
    """How LiveKit with `items` routes INVITEs from Jambonz."""
    trunks = config.trunks
    is_known = bool(trunks.inbound_addresses or trunks.inbound_username)
    routed = [
        (invite, route(invite, items)) for invite in probe_invites(trunks.inbound_addresses, items)
    ]
    failing = [(invite, taken) for invite, taken in routed if _problem(config, taken)]
    working = [(invite, taken) for invite, taken in routed if not _problem(config, taken)]
    if is_known and failing:
        return combined([_failure(config, *pair, items) for pair in failing[:REPORTED_INVITES]])
    if not working:
        return _failure(config, *failing[0], items)
    findings = [ok(line) for line in dict.fromkeys(_line(config, *pair) for pair in working)]
    if not is_known and failing:
        message = "trunks.inbound_addresses is not set: INVITEs from other addresses are refused"
        findings.append(warn(message, _ADDRESSES))
    return combined(findings)


def _problem(config: Config, taken: Route) -> str:
    if taken.requires_digest and not config.trunks.inbound_password:
        return "LiveKit asks for a password (407) and none is configured"
    return taken.problem


def _failure(config: Config, invite: Invite, taken: Route, items: Sequence[SipItem]) -> Finding:
    foreign = any(not i.is_ours for i in items if i.kind is not Kind.OUTBOUND_TRUNK)
    step = _PRUNE if foreign else _APPLY
    trunks = config.trunks
    if not (trunks.inbound_addresses or trunks.inbound_username):
        step = _ADDRESSES
    return fail(f"{_line(config, invite, taken)}: {_problem(config, taken)}", step)


def _line(config: Config, invite: Invite, taken: Route) -> str:
    source = invite.from_host or invite.source_ip
    host = config.livekit.sip_address
    return f"an INVITE from {source} to sip:{CALLED_USER}@{host} meets {taken}"


async def _outbound(context: Context) -> Finding:
    settings, strategy = context.config.outbound, context.config.inbound.strategy
    if settings.dialed_by == "agent":
        return skip("not needed: the agent dials (outbound.dialed_by)")
    items = await Trunks(context.livekit).of_kind(Kind.OUTBOUND_TRUNK)
    trunk = outbound_item(items, configured=settings.trunk_id, prefer_own=False)
    if trunk:
        return combined([outbound_trunk(trunk), await _address(trunk)])
    return no_outbound(items, settings.trunk_id, is_needed=strategy == "participant")


def outbound_item(items: Sequence[SipItem], *, configured: str, prefer_own: bool) -> SipItem | None:
    """The trunk that calls take: the `configured` id, or the one that setup created.

    `prefer_own` prefers the latter.
    """
    outbound = [item for item in items if item.kind is Kind.OUTBOUND_TRUNK]
    managed = next((item for item in outbound if item.is_ours), None)
    if configured and not (prefer_own and managed):
        return next((item for item in outbound if item.id == configured), None)
    return managed


def outbound_trunk(trunk: SipItem) -> Finding:
    """How calls leave by `trunk`."""
    numbers = trunk.fields.get("numbers", [])
    transport = str(trunk.fields.get("transport", "")).rpartition("_")[2].lower() or "auto"
    message = (
        f"calls go out by {label(trunk)}, to {trunk.fields.get('address')}, transport {transport}"
    )
    if not numbers:
        step = f"set trunks.outbound_numbers in config.yaml, then {_APPLY}; or add numbers to it"
        return warn(f"{message}, but the trunk has no number to call from", step)
    return ok(f"{message}, from {', '.join(numbers)}")


def no_outbound(items: Sequence[SipItem], configured: str, *, is_needed: bool) -> Finding:
    """No outbound trunk can be used; POST /dispatch then answers 503 `no_trunk`."""
    existing = ", ".join(label(item) for item in items)
    if configured:
        message = f"LiveKit has no trunk {configured}, which SIP_OUTBOUND_TRUNK_ID names"
        step = (
            f"set it to an outbound trunk ({existing or 'there is none'}), or unset it and {_APPLY}"
        )
        return fail(message, step)
    message = "none is configured, and setup created none: POST /dispatch answers 503 no_trunk"
    step = f"set trunks.outbound_address and outbound_numbers in config.yaml, then {_APPLY}"
    if existing:
        step += f"; or set SIP_OUTBOUND_TRUNK_ID to one of {existing}"
    return fail(message, step) if is_needed else warn(message, step)


async def _address(trunk: SipItem) -> Finding:
    host, _ = host_and_port(str(trunk.fields.get("address", "")))
    try:
        addresses = await addresses_of(host)
    except OSError:
        step = (
            "correct the trunk's address, unless LiveKit resolves the name and this machine cannot"
        )
        return warn(f"its address {host!r} cannot be resolved on this machine", step)
    return ok(f"{host} is {', '.join(addresses)}" if addresses != [host] else "")


async def _setup(context: Context) -> Finding:
    return setup_plan(context.config, await Trunks(context.livekit).listed())


def setup_plan(config: Config, items: Sequence[SipItem]) -> Finding:
    """Whether `setup` would change something; if that is a failure, other checks report it."""
    try:
        plan = plan_setup(config, items, prune=False)
    except ConfigError as error:
        message = "\n".join(error.problems)
        return warn(message, f"correct this, then {_PLAN}")
    if plan.conflicts:
        things = ", ".join(label(step.item) for step in plan.conflicts)
        return warn(f"conflicts: {things}", _PRUNE)
    if plan.changes:
        things = ", ".join(f"{step.action} {label(step.item)}" for step in plan.changes)
        return warn(f"would {things}", f"{_PLAN} shows why; {_APPLY} applies it")
    return ok("nothing to change")
