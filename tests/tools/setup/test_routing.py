"""The route of an INVITE, case by case as livekit-server 1.13.5 decides it."""

from typing import Any

import pytest

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.collisions import collide
from gateway.tools.setup.items import normalized
from gateway.tools.setup.routing import Invite, allows, route

INVITE = Invite("+15550100", "call-1", "192.0.2.10", "jambonz.example.com")

CALLEE: dict[str, Any] = {"dispatch_rule_callee": {}}


def trunk(item_id: str, **fields: Any) -> SipItem:
    return SipItem(Kind.INBOUND_TRUNK, item_id, fields)


def rule(item_id: str, content: dict[str, Any] | None = None, **fields: Any) -> SipItem:
    return SipItem(Kind.DISPATCH_RULE, item_id, {"rule": content or CALLEE, **fields})


def direct(room: str, pin: str = "") -> dict[str, Any]:
    return {"dispatch_rule_direct": {"room_name": room, **({"pin": pin} if pin else {})}}


def individual(prefix: str = "", **more: Any) -> dict[str, Any]:
    return {"dispatch_rule_individual": {"room_prefix": prefix, **more}}


def callee(prefix: str = "", **more: Any) -> dict[str, Any]:
    return {"dispatch_rule_callee": {"room_prefix": prefix, **more}}


ANY = trunk("ST_any", allowed_addresses=["192.0.2.0/24"])
MANAGED = rule("SDR_own", trunk_ids=["ST_any"])


def test_a_callee_rule_without_prefix_leads_to_the_room_of_the_called_user() -> None:
    found = route(INVITE, [ANY, MANAGED])
    assert (found.trunk, found.rule, found.room, found.problem) == (ANY, MANAGED, "call-1", "")
    assert str(found) == "inbound trunk ST_any → dispatch rule SDR_own → room call-1"


@pytest.mark.parametrize(
    ("trunks", "taken"),
    [
        ([trunk("ST_1", allowed_addresses=["198.51.100.1"])], None),
        ([trunk("ST_1", allowed_addresses=["jambonz.example.com"])], "ST_1"),
        ([trunk("ST_1", allowed_numbers=["1-555-0100"])], "ST_1"),
        ([trunk("ST_1", allowed_numbers=["+15550101"])], None),
        ([trunk("ST_1", numbers=["+15550199"])], None),
        ([ANY, trunk("ST_1", numbers=["call-1"])], "ST_1"),
        ([ANY, trunk("ST_1", numbers=["call-1"], allowed_addresses=["198.51.100.1"])], "ST_any"),
        ([ANY, trunk("ST_1", allowed_addresses=["198.51.100.1"])], "ST_any"),
    ],
)
def test_which_trunk_takes_an_invite(trunks: list[SipItem], taken: str | None) -> None:
    found = route(INVITE, trunks)
    assert (found.trunk.id if found.trunk else None) == taken


@pytest.mark.parametrize(
    "rivals",
    [
        [ANY, trunk("ST_b", allowed_numbers=["+15550100"])],
        [trunk("ST_a", numbers=["call-1"]), trunk("ST_b", numbers=["call-1", "x"])],
    ],
)
def test_livekit_cannot_choose_between_two_matching_trunks(rivals: list[SipItem]) -> None:
    found = route(INVITE, [*rivals, MANAGED])
    assert (found.trunk, found.rule, found.room) == (None, None, "")
    assert {item.id for item in found.rivals} == {item.id for item in rivals}
    assert "503" in found.problem


@pytest.mark.parametrize(
    ("rules", "taken"),
    [
        ([rule("SDR_all"), MANAGED], "SDR_own"),
        ([rule("SDR_all", direct("lobby")), MANAGED], "SDR_own"),
        ([rule("SDR_pin", direct("lobby", "1234"), trunk_ids=["ST_any"]), MANAGED], "SDR_pin"),
        ([rule("SDR_n", inbound_numbers=["+15550100"], trunk_ids=["ST_any"]), MANAGED], "SDR_n"),
        (
            [rule("SDR_n", inbound_numbers=["15550100"], trunk_ids=["ST_any"]), MANAGED],
            "SDR_own",
        ),
        ([rule("SDR_n", numbers=["call-1"], trunk_ids=["ST_any"]), MANAGED], "SDR_n"),
        ([rule("SDR_other", trunk_ids=["ST_other"])], None),
        ([rule("SDR_all")], "SDR_all"),
    ],
)
def test_which_rule_takes_an_invite(rules: list[SipItem], taken: str | None) -> None:
    found = route(INVITE, [ANY, *rules])
    assert (found.rule.id if found.rule else None) == taken


def test_rules_that_collide_block_every_call_that_they_apply_to() -> None:
    colliding = [rule("SDR_a", numbers=["1"]), rule("SDR_b", direct("x"), numbers=["+1"])]
    found = route(INVITE, [ANY, MANAGED, *colliding])
    assert [item.id for item in found.rivals] == ["SDR_a", "SDR_b"]
    elsewhere = [
        SipItem(item.kind, item.id, {**item.fields, "trunk_ids": ["ST_other"]})
        for item in colliding
    ]
    assert route(INVITE, [ANY, MANAGED, *elsewhere]).room == "call-1"


@pytest.mark.parametrize(
    ("content", "room", "problem"),
    [
        (callee("call-"), "call-_call-1", "prefixes the room's name with 'call-' and '_'"),
        (callee(randomize=True), "call-1_<random>", "random part"),
        (individual(no_randomness=True), "+15550100", "after the caller"),
        (individual("x"), "x_+15550100_<random>", "random part"),
        (direct("lobby"), "lobby", "every call into room 'lobby'"),
        (direct("call-1"), "call-1", ""),
        (callee(pin="1234"), "call-1", "PIN"),
    ],
)
def test_which_room_a_rule_leads_to(content: dict[str, Any], room: str, problem: str) -> None:
    found = route(INVITE, [ANY, rule("SDR_1", content)])
    assert found.room == room
    assert problem in found.problem
    assert bool(problem) == bool(found.problem)


def test_a_hidden_number_shortens_the_room_name() -> None:
    hidden = rule("SDR_1", individual(no_randomness=True), hide_phone_number=True)
    assert route(INVITE, [ANY, hidden]).room == "0100"


def test_a_rule_for_all_trunks_takes_calls_that_no_trunk_accepts() -> None:
    invite = Invite("x", "call-1", "198.51.100.9")
    assert route(invite, [ANY, MANAGED]).problem.startswith("no inbound trunk accepts it: it rings")
    assert route(invite, [ANY, rule("SDR_all")]).room == "call-1"


def test_a_challenge_needs_username_and_password() -> None:
    for fields, is_challenged in (
        ({"auth_username": "u", "auth_password": "p"}, True),
        ({"auth_username": "u"}, False),
    ):
        assert route(INVITE, [trunk("ST_1", **fields), MANAGED]).requires_digest is is_challenged


@pytest.mark.parametrize(
    ("masks", "source", "is_allowed"),
    [
        ([], "192.0.2.1", True),
        (["192.0.2.1"], "192.0.2.1", True),
        (["192.0.2.7/24"], "192.0.2.1", True),
        (["192.0.2.0/255.255.255.0"], "192.0.2.1", False),
        (["192.0.2.0/024"], "192.0.2.1", False),
        (["2001:db8::/32"], "2001:db8::5", True),
        (["2001:db8::/32"], "192.0.2.1", False),
        (["sip:192.0.2.1;x"], "198.51.100.1", True),  # no usable mask: all are allowed
        (["sip:192.0.2.1;x", "192.0.2.1"], "198.51.100.1", False),
        (["sbc.example.com"], "198.51.100.1", True),
        (["192.0.2.1"], "", True),
    ],
)
def test_allowed_addresses(masks: list[str], source: str, is_allowed: bool) -> None:
    assert allows(masks, source, "sbc.example.com") is is_allowed


@pytest.mark.parametrize(
    ("number", "normal_form"),
    [("1 (555) 01-00", "+15550100"), ("+15550100", "+15550100"), ("call-1", "call-1"), ("", "")],
)
def test_numbers_are_normalized(number: str, normal_form: str) -> None:
    assert normalized(number) == normal_form


@pytest.mark.parametrize(
    ("first", "second", "is_refused"),
    [
        (trunk("a", allowed_addresses=["192.0.2.1"]), trunk("b", allowed_addresses=["x"]), True),
        (trunk("a"), trunk("b", allowed_numbers=["1"]), False),
        (trunk("a", numbers=["1", "2"]), trunk("b", numbers=["+2"]), True),
        (trunk("a", numbers=["1"]), trunk("b"), False),
        (rule("a"), rule("b", direct("x")), True),
        (rule("a"), rule("b", direct("x", "1")), False),
        (rule("a", trunk_ids=["t"]), rule("b"), False),
        (rule("a", trunk_ids=["t"]), rule("b", trunk_ids=["u", "t"]), True),
        (rule("a", numbers=["1"]), rule("b", inbound_numbers=["1"]), False),
        (SipItem(Kind.OUTBOUND_TRUNK, "a", {}), SipItem(Kind.OUTBOUND_TRUNK, "b", {}), False),
        (trunk("a"), trunk("a"), False),
    ],
)
def test_which_items_collide(first: SipItem, second: SipItem, is_refused: bool) -> None:
    assert collide(first, second) is is_refused
    assert collide(second, first) is is_refused
