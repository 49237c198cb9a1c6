"""The checks of call routing: as setup created it, and with wrong trunks, rules and numbers."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.explanation.status import Status
from gateway.livekit.trunks import Kind, SipItem, Trunks, mark
from gateway.tools.doctor.check import (
    Finding,
)
from gateway.tools.doctor.routes import inbound_route, no_outbound, outbound_item, outbound_trunk
from tests.conftest import ConfigMaker
from tests.tools.doctor.conftest import SBC, Stack, run_check

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


async def test_the_route_that_setup_created(stack: Stack) -> None:
    finding = await run_check(stack.config(), "inbound_route")
    assert finding.status is Status.OK
    first, second = finding.message.splitlines()
    assert first.startswith(f"an INVITE from {SBC} to sip:call-…@{stack.env['LIVEKIT_SIP_HOST']}")
    assert "an INVITE from 198.51.100." in second
    assert first.endswith("→ room call-…")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"room_prefix": "call-"}, "room call-_call-…: "),
        ({"randomize": True}, "random"),
        ({"pin": "1234"}, "PIN"),
    ],
)
async def test_a_rule_that_does_not_lead_to_the_room(
    changes: dict[str, Any], message: str, stack: Stack, trunks: Trunks
) -> None:
    [ours] = await trunks.of_kind(Kind.DISPATCH_RULE)
    fields = {**ours.fields, "rule": {"dispatch_rule_callee": changes}}
    await trunks.replace(SipItem(ours.kind, ours.id, fields))
    finding = await run_check(stack.config(), "inbound_route")
    assert finding.status is Status.FAIL
    assert message in finding.message
    assert finding.next == APPLY
    plan = await run_check(stack.config(), "setup")
    assert plan.status is Status.WARN
    assert f"update dispatch rule {ours.id}" in plan.message


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
    finding = await run_check(stack.config(), "inbound_route")
    assert finding.status is Status.FAIL
    assert '"each caller"' in finding.message
    assert PRUNE in finding.next


@pytest.mark.parametrize(
    ("items", "message", "step"),
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
            "asks for a password (407) and none is configured",
            PRUNE,
        ),
    ],
)
def test_misrouted_invites(
    items: list[SipItem], message: str, step: str, make_config: ConfigMaker
) -> None:
    finding = inbound_route(make_config(trunks={"inbound_addresses": [SBC]}), items)
    assert finding.status is Status.FAIL
    assert message in finding.message
    assert step in finding.next


def test_only_refused_addresses_are_reported(make_config: ConfigMaker) -> None:
    config = make_config(trunks={"inbound_addresses": [SBC, "203.0.113.0/28"]})
    finding = inbound_route(config, [trunk(allowed_addresses=[SBC]), FOR_TRUNK])
    assert finding.status is Status.FAIL
    assert "INVITE from 203.0.113." in finding.message
    assert SBC not in finding.message


def test_trunks_that_setup_did_not_create_are_accepted(make_config: ConfigMaker) -> None:
    items = [trunk(allowed_addresses=["192.0.2.0/24"]), CALLEE]
    finding = inbound_route(make_config(trunks={"inbound_addresses": [SBC]}), items)
    assert finding.status is Status.OK


@pytest.mark.parametrize(
    ("items", "status", "message"),
    [
        ([], Status.FAIL, "no inbound trunk"),
        ([trunk(), CALLEE], Status.OK, "room call-…"),
        ([trunk(allowed_addresses=[SBC]), FOR_TRUNK], Status.WARN, "inbound_addresses is not set"),
    ],
)
def test_without_inbound_addresses(
    items: list[SipItem], status: Status, message: str, make_config: ConfigMaker
) -> None:
    finding = inbound_route(make_config(), items)
    assert finding.status is status
    assert message in finding.message
    assert ("trunks.inbound_addresses" in finding.next) is (status is not Status.OK)


async def test_the_route_to_jambonz_with_the_participant_strategy(stack: Stack) -> None:
    config = stack.config(GATEWAY__INBOUND__STRATEGY="participant")
    finding = await run_check(config, "inbound_route")
    assert finding.status is Status.OK
    assert "LiveKit calls Jambonz by outbound trunk ST_" in finding.message
    plan = await run_check(config, "setup")
    assert "delete inbound trunk" in plan.message


async def test_no_trunk_to_jambonz(stack: Stack, trunks: Trunks) -> None:
    [ours] = await trunks.of_kind(Kind.OUTBOUND_TRUNK)
    fields = {name: value for name, value in ours.fields.items() if name != "metadata"}
    await trunks.replace(SipItem(ours.kind, ours.id, fields))
    config = stack.config(GATEWAY__INBOUND__STRATEGY="participant")
    for check in ("inbound_route", "outbound_trunk"):
        finding = await run_check(config, check)
        assert finding.status is Status.FAIL, check
        assert "trunks.outbound_address" in finding.next


async def test_the_outbound_trunk_that_setup_created(stack: Stack) -> None:
    finding = await run_check(stack.config(), "outbound_trunk")
    assert finding.status is Status.OK
    assert "to 127.0.0.1:5080, transport auto, from +15550100" in finding.message


async def test_an_unknown_outbound_trunk(stack: Stack) -> None:
    finding = await run_check(stack.config(SIP_OUTBOUND_TRUNK_ID="ST_gone"), "outbound_trunk")
    assert finding.status is Status.FAIL
    assert "LiveKit has no trunk ST_gone" in finding.message
    assert "outbound trunk ST_" in finding.next


async def test_a_trunk_address_that_does_not_resolve(stack: Stack, trunks: Trunks) -> None:
    fields = {"name": "away", "address": "pbx.invalid", "numbers": ["+15550101"]}
    created = await trunks.create(SipItem(Kind.OUTBOUND_TRUNK, "", fields))
    finding = await run_check(stack.config(SIP_OUTBOUND_TRUNK_ID=created.id), "outbound_trunk")
    assert finding.status is Status.WARN
    assert "'pbx.invalid' cannot be resolved" in finding.message


async def test_no_trunk_is_needed_if_the_agent_dials(stack: Stack) -> None:
    config = stack.config(GATEWAY__OUTBOUND__DIALED_BY="agent")
    assert (await run_check(config, "outbound_trunk")).status is Status.SKIP


OURS = outbound("ST_ours", metadata=mark())
OTHER = outbound("ST_other")


@pytest.mark.parametrize(
    ("configured", "prefer_own", "chosen"),
    [
        ("", False, OURS),
        ("ST_other", False, OTHER),
        ("ST_other", True, OURS),
        ("ST_gone", False, None),
    ],
)
def test_which_outbound_trunk_is_used(
    configured: str, *, prefer_own: bool, chosen: SipItem | None
) -> None:
    item = outbound_item([OTHER, OURS, trunk()], configured=configured, prefer_own=prefer_own)
    assert item is chosen


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"numbers": ["+1"], "transport": "SIP_TRANSPORT_TLS"}, Status.OK, "tls, from +1"),
        ({}, Status.WARN, "no number to call from"),
    ],
)
def test_an_outbound_trunk(fields: Mapping[str, Any], status: Status, message: str) -> None:
    finding = outbound_trunk(outbound("ST_1", **fields))
    assert finding.status is status
    assert message in finding.message


def test_no_outbound_trunk() -> None:
    finding: Finding = no_outbound([OTHER], "", is_needed=False)
    assert finding.status is Status.WARN
    assert "503 no_trunk" in finding.message
    assert "SIP_OUTBOUND_TRUNK_ID to one of outbound trunk ST_other" in finding.next
    assert no_outbound([], "", is_needed=True).status is Status.FAIL
