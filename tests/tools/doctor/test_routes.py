"""The way calls take: what setup made, and what may be wrong with trunks, rules and numbers."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.livekit.trunks import Kind, SipItem, Trunks, mark
from gateway.tools.doctor.check import Finding, Status
from gateway.tools.doctor.routes import inbound_route, no_outbound, outbound_item, outbound_trunk
from tests.conftest import ConfigMaker
from tests.tools.doctor.conftest import SBC, Stack, look

PRUNE = "python -m gateway setup --prune --apply"
APPLY = "python -m gateway setup --apply"


def trunk(trunk_id: str = "ST_1", **fields: Any) -> SipItem:
    return SipItem(Kind.INBOUND_TRUNK, trunk_id, fields)


def rule(kind: str, rule_id: str = "SDR_1", **content: Any) -> SipItem:
    fields = {"rule": {f"dispatch_rule_{kind}": content}}
    return SipItem(Kind.DISPATCH_RULE, rule_id, fields)


def outbound(trunk_id: str, **fields: Any) -> SipItem:
    return SipItem(Kind.OUTBOUND_TRUNK, trunk_id, {"address": "pbx.example.com", **fields})


CALLEE = rule("callee")
FOR_TRUNK = SipItem(Kind.DISPATCH_RULE, "SDR_1", {**CALLEE.fields, "trunk_ids": ["ST_1"]})


async def test_what_setup_made(stack: Stack) -> None:
    told = await look(stack.config(), "inbound_route")
    assert told.status is Status.OK
    first, second = told.saw.splitlines()
    assert first.startswith(f"an INVITE from {SBC} to sip:call-…@{stack.env['LIVEKIT_SIP_HOST']}")
    assert "an INVITE from 198.51.100." in second
    assert first.endswith("→ room call-…")


@pytest.mark.parametrize(
    ("changed", "saw"),
    [
        ({"room_prefix": "call-"}, "room call-_call-…: "),
        ({"randomize": True}, "random"),
        ({"pin": "1234"}, "PIN"),
    ],
)
async def test_a_rule_that_does_not_lead_to_the_room(
    changed: dict[str, Any], saw: str, stack: Stack, trunks: Trunks
) -> None:
    [ours] = await trunks.of_kind(Kind.DISPATCH_RULE)
    fields = {**ours.fields, "rule": {"dispatch_rule_callee": changed}}
    await trunks.replace(SipItem(ours.kind, ours.id, fields))
    told = await look(stack.config(), "inbound_route")
    assert told.status is Status.FAIL
    assert saw in told.saw
    assert told.next == APPLY
    plan = await look(stack.config(), "setup")
    assert plan.status is Status.WARN
    assert f"change dispatch rule {ours.id}" in plan.saw


async def test_a_foreign_rule_that_catches_calls(stack: Stack, trunks: Trunks) -> None:
    [ours] = await trunks.of_kind(Kind.INBOUND_TRUNK)
    [rule_of_ours] = await trunks.of_kind(Kind.DISPATCH_RULE)
    await trunks.delete(rule_of_ours)
    fields = {
        "name": "each caller",
        "trunk_ids": [ours.id],
        "rule": {"dispatch_rule_individual": {"room_prefix": "call"}},
    }
    await trunks.create(SipItem(Kind.DISPATCH_RULE, "", fields))
    told = await look(stack.config(), "inbound_route")
    assert told.status is Status.FAIL
    assert '"each caller"' in told.saw
    assert PRUNE in told.next


@pytest.mark.parametrize(
    ("items", "saw", "step"),
    [
        ([], "no inbound trunk", APPLY),
        ([trunk()], "no dispatch rule", PRUNE),
        ([trunk(allowed_addresses=["203.0.113.9"])], "no inbound trunk", PRUNE),
        ([trunk(numbers=["+15550199"])], "no inbound trunk", PRUNE),
        ([trunk(), trunk("ST_2", allowed_addresses=[SBC]), CALLEE], "cannot choose", PRUNE),
        ([trunk(), CALLEE, rule("callee", "SDR_2")], "cannot choose", PRUNE),
        ([trunk(), rule("callee", room_prefix="call-")], "room call-_call-…", PRUNE),
        ([trunk(), rule("direct", room_name="lobby")], "room 'lobby'", PRUNE),
        ([trunk(), rule("individual", no_randomness=True)], "after the caller", PRUNE),
        (
            [trunk(auth_username="u", auth_password="p"), CALLEE],
            "asks for a password (407) that nobody has configured",
            PRUNE,
        ),
    ],
)
def test_invites_that_go_wrong(
    items: list[SipItem], saw: str, step: str, make_config: ConfigMaker
) -> None:
    told = inbound_route(make_config(trunks={"inbound_addresses": [SBC]}), items)
    assert told.status is Status.FAIL
    assert saw in told.saw
    assert step in told.next


def test_only_the_addresses_that_are_not_let_in_are_told_of(make_config: ConfigMaker) -> None:
    config = make_config(trunks={"inbound_addresses": [SBC, "203.0.113.0/28"]})
    told = inbound_route(config, [trunk(allowed_addresses=[SBC]), FOR_TRUNK])
    assert told.status is Status.FAIL
    assert "INVITE from 203.0.113." in told.saw
    assert SBC not in told.saw


def test_trunks_that_somebody_else_made_are_good_enough(make_config: ConfigMaker) -> None:
    items = [trunk(allowed_addresses=["192.0.2.0/24"]), CALLEE]
    told = inbound_route(make_config(trunks={"inbound_addresses": [SBC]}), items)
    assert told.status is Status.OK


@pytest.mark.parametrize(
    ("items", "status", "saw"),
    [
        ([], Status.FAIL, "no inbound trunk"),
        ([trunk(), CALLEE], Status.OK, "room call-…"),
        ([trunk(allowed_addresses=[SBC]), FOR_TRUNK], Status.WARN, "inbound_addresses is not set"),
    ],
)
def test_where_nobody_said_who_calls(
    items: list[SipItem], status: Status, saw: str, make_config: ConfigMaker
) -> None:
    told = inbound_route(make_config(), items)
    assert told.status is status
    assert saw in told.saw
    assert ("trunks.inbound_addresses" in told.next) is (status is not Status.OK)


async def test_the_way_to_jambonz_where_livekit_dials(stack: Stack) -> None:
    config = stack.config(GATEWAY__INBOUND__STRATEGY="participant")
    told = await look(config, "inbound_route")
    assert told.status is Status.OK
    assert "LiveKit calls Jambonz by outbound trunk ST_" in told.saw
    plan = await look(config, "setup")
    assert "delete inbound trunk" in plan.saw


async def test_no_way_to_jambonz(stack: Stack, trunks: Trunks) -> None:
    [ours] = await trunks.of_kind(Kind.OUTBOUND_TRUNK)
    fields = {name: value for name, value in ours.fields.items() if name != "metadata"}
    await trunks.replace(SipItem(ours.kind, ours.id, fields))
    config = stack.config(GATEWAY__INBOUND__STRATEGY="participant")
    for check in ("inbound_route", "outbound_trunk"):
        told = await look(config, check)
        assert told.status is Status.FAIL, check
        assert "trunks.outbound_address" in told.next


async def test_the_trunk_that_setup_made(stack: Stack) -> None:
    told = await look(stack.config(), "outbound_trunk")
    assert told.status is Status.OK
    assert "to 127.0.0.1:5080, transport auto, from +15550100" in told.saw


async def test_a_trunk_that_is_not_there(stack: Stack) -> None:
    told = await look(stack.config(SIP_OUTBOUND_TRUNK_ID="ST_gone"), "outbound_trunk")
    assert told.status is Status.FAIL
    assert "ST_gone is not at LiveKit" in told.saw
    assert "outbound trunk ST_" in told.next


async def test_a_trunk_that_leads_nowhere(stack: Stack, trunks: Trunks) -> None:
    fields = {"name": "away", "address": "pbx.invalid", "numbers": ["+15550101"]}
    made = await trunks.create(SipItem(Kind.OUTBOUND_TRUNK, "", fields))
    told = await look(stack.config(SIP_OUTBOUND_TRUNK_ID=made.id), "outbound_trunk")
    assert told.status is Status.WARN
    assert "'pbx.invalid' has no address" in told.saw


async def test_no_trunk_is_needed_where_the_agent_dials(stack: Stack) -> None:
    config = stack.config(GATEWAY__OUTBOUND__DIALED_BY="agent")
    assert (await look(config, "outbound_trunk")).status is Status.SKIP


OURS = outbound("ST_ours", metadata=mark())
OTHER = outbound("ST_other")


@pytest.mark.parametrize(
    ("configured", "ours_first", "chosen"),
    [
        ("", False, OURS),
        ("ST_other", False, OTHER),
        ("ST_other", True, OURS),
        ("ST_gone", False, None),
    ],
)
def test_which_trunk_is_taken(configured: str, *, ours_first: bool, chosen: SipItem | None) -> None:
    found = outbound_item([OTHER, OURS, trunk()], configured=configured, ours_first=ours_first)
    assert found is chosen


@pytest.mark.parametrize(
    ("fields", "status", "saw"),
    [
        ({"numbers": ["+1"], "transport": "SIP_TRANSPORT_TLS"}, Status.OK, "tls, from +1"),
        ({}, Status.WARN, "without a number"),
    ],
)
def test_what_a_trunk_says(fields: Mapping[str, Any], status: Status, saw: str) -> None:
    told = outbound_trunk(outbound("ST_1", **fields))
    assert told.status is status
    assert saw in told.saw


def test_no_trunk_at_all() -> None:
    told: Finding = no_outbound([OTHER], "", is_needed=False)
    assert told.status is Status.WARN
    assert "503 no_trunk" in told.saw
    assert "SIP_OUTBOUND_TRUNK_ID, one of outbound trunk ST_other" in told.next
    assert no_outbound([], "", is_needed=True).status is Status.FAIL
