"""The way calls take at LiveKit: trunk, rule and numbers together, and the trunk they go out by."""

from collections.abc import Sequence
from functools import partial

from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.livekit.trunks import Kind, SipItem, Trunks
from gateway.tools.doctor.check import Check, Finding, fail, ok, skip, together, warn
from gateway.tools.doctor.context import Context
from gateway.tools.doctor.sip import addresses_of, host_and_port
from gateway.tools.setup.conflicts import CALLED, probes
from gateway.tools.setup.plan import plan_setup
from gateway.tools.setup.routing import Invite, Route, called, route

#: So many INVITEs that go wrong are told of; more say nothing new.
TOLD = 4

_PLAN = "python -m gateway setup"
_APPLY = f"{_PLAN} --apply"
_PRUNE = f"{_PLAN} shows what is in the way; {_PLAN} --prune --apply backs it up and deletes it"
_ADDRESSES = (
    "trunks.inbound_addresses in config.yaml: the addresses that Jambonz's SBCs send from; then "
    f"{_APPLY}"
)


def checks(site: Context) -> list[Check]:
    needs = ("livekit_sip",)
    return [
        Check("inbound_route", "inbound route", partial(_inbound, site), needs),
        Check("outbound_trunk", "outbound trunk", partial(_outbound, site), needs),
        Check("setup", "setup", partial(_setup, site), needs),
    ]


async def _inbound(site: Context) -> Finding:
    items = await Trunks(site.livekit).listed()
    if site.config.inbound.strategy == "room":
        return inbound_route(site.config, items)
    trunk = outbound_item(items, configured=site.config.outbound.trunk_id, ours_first=True)
    if trunk is None:
        saw = "LiveKit has no outbound trunk to call Jambonz by, as inbound.strategy participant is"
        return fail(saw, f"trunks.outbound_address in config.yaml, Jambonz's SBC; then {_APPLY}")
    findings = [ok(f"LiveKit calls Jambonz by {called(trunk)}"), await _address(trunk)]
    return together(findings)


def inbound_route(config: Config, items: Sequence[SipItem]) -> Finding:
    """What INVITEs of Jambonz would meet where LiveKit has `items`."""
    trunks = config.trunks
    is_known = bool(trunks.inbound_addresses or trunks.inbound_username)
    met = [(invite, route(invite, items)) for invite in probes(trunks.inbound_addresses, items)]
    wrong = [(invite, way) for invite, way in met if _trouble(config, way)]
    right = [(invite, way) for invite, way in met if not _trouble(config, way)]
    if is_known and wrong:
        return together([_wrong(config, *pair, items) for pair in wrong[:TOLD]])
    if not right:
        return _wrong(config, *wrong[0], items)
    ways = [ok(line) for line in dict.fromkeys(_line(config, *pair) for pair in right)]
    if not is_known:
        saw = "trunks.inbound_addresses is not set: who calls from elsewhere is not let in"
        return together([*ways, warn(saw, _ADDRESSES)] if wrong else ways)
    return together(ways)


def _trouble(config: Config, way: Route) -> str:
    if way.asks_digest and not config.trunks.inbound_password:
        return "LiveKit asks for a password (407) that nobody has configured"
    return way.problem


def _wrong(config: Config, invite: Invite, way: Route, items: Sequence[SipItem]) -> Finding:
    foreign = any(not i.is_ours for i in items if i.kind is not Kind.OUTBOUND_TRUNK)
    step = _PRUNE if foreign else _APPLY
    trunks = config.trunks
    if not (trunks.inbound_addresses or trunks.inbound_username):
        step = _ADDRESSES
    return fail(f"{_line(config, invite, way)}: {_trouble(config, way)}", step)


def _line(config: Config, invite: Invite, way: Route) -> str:
    source = invite.from_host or invite.source_ip
    host = config.livekit.sip_address
    return f"an INVITE from {source} to sip:{CALLED}@{host} meets {way}"


async def _outbound(site: Context) -> Finding:
    settings, strategy = site.config.outbound, site.config.inbound.strategy
    if settings.dialed_by == "agent":
        return skip("not needed: the agent dials (outbound.dialed_by)")
    items = await Trunks(site.livekit).of_kind(Kind.OUTBOUND_TRUNK)
    trunk = outbound_item(items, configured=settings.trunk_id, ours_first=False)
    if trunk:
        return together([outbound_trunk(trunk), await _address(trunk)])
    return no_outbound(items, settings.trunk_id, is_needed=strategy == "participant")


def outbound_item(items: Sequence[SipItem], *, configured: str, ours_first: bool) -> SipItem | None:
    """The trunk that calls take: the configured one or ours, whichever comes first and is there."""
    outbound = [item for item in items if item.kind is Kind.OUTBOUND_TRUNK]
    ours = next((item for item in outbound if item.is_ours), None)
    if configured and not (ours_first and ours):
        return next((item for item in outbound if item.id == configured), None)
    return ours


def outbound_trunk(trunk: SipItem) -> Finding:
    """A trunk that is there; what it says about calls."""
    numbers = trunk.fields.get("numbers", [])
    transport = str(trunk.fields.get("transport", "")).rpartition("_")[2].lower() or "auto"
    saw = (
        f"calls go out by {called(trunk)}, to {trunk.fields.get('address')}, transport {transport}"
    )
    if not numbers:
        step = f"trunks.outbound_numbers in config.yaml, then {_APPLY}; or give the trunk numbers"
        return warn(f"{saw}, without a number of its own to call from", step)
    return ok(f"{saw}, from {', '.join(numbers)}")


def no_outbound(items: Sequence[SipItem], configured: str, *, is_needed: bool) -> Finding:
    """There is none to dial by; without one POST /dispatch answers 503 `no_trunk`."""
    others = ", ".join(called(item) for item in items)
    if configured:
        saw = f"SIP_OUTBOUND_TRUNK_ID {configured} is not at LiveKit"
        step = f"set it to one that is there ({others or 'none is'}), or take it out and {_APPLY}"
        return fail(saw, step)
    saw = "none is configured, none is ours: POST /dispatch answers 503 no_trunk"
    step = f"trunks.outbound_address and outbound_numbers in config.yaml, then {_APPLY}"
    if others:
        step += f"; or SIP_OUTBOUND_TRUNK_ID, one of {others}"
    return fail(saw, step) if is_needed else warn(saw, step)


async def _address(trunk: SipItem) -> Finding:
    host, _ = host_and_port(str(trunk.fields.get("address", "")))
    try:
        addresses = await addresses_of(host)
    except OSError:
        step = "correct the trunk's address, unless it is one that only LiveKit can resolve"
        return warn(f"its address {host!r} has no address, asked from here", step)
    return ok(f"{host} is {', '.join(addresses)}" if addresses != [host] else "")


async def _setup(site: Context) -> Finding:
    return setup_plan(site.config, await Trunks(site.livekit).listed())


def setup_plan(config: Config, items: Sequence[SipItem]) -> Finding:
    """Whether `setup` would do something; whether that matters is for the other checks."""
    try:
        plan = plan_setup(config, items, prune=False)
    except ConfigError as error:
        saw = "\n".join(error.problems)
        return warn(saw, f"as it says, then {_PLAN}")
    if plan.in_the_way:
        things = ", ".join(called(step.item) for step in plan.in_the_way)
        return warn(f"in the way: {things}", _PRUNE)
    if plan.to_do:
        things = ", ".join(f"{step.action} {called(step.item)}" for step in plan.to_do)
        return warn(f"would {things}", f"{_PLAN} shows why; {_APPLY} does it")
    return ok("has nothing to do")
