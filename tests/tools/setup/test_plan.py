"""What setup plans: for ours, for what others have, and whatever they have: calls arrive."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.loader import build_config
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.livekit.trunks import Kind, SipItem, mark
from gateway.tools.setup.conflicts import CALLED, probes
from gateway.tools.setup.desired import NEW, advice, wanted_items
from gateway.tools.setup.plan import Action, Plan, plan_setup
from gateway.tools.setup.restore import plan_restore
from gateway.tools.setup.routing import Invite, clash, route

SBC = "192.0.2.10"


def configured(env: dict[str, str] | None = None, **sections: Any) -> Config:
    return build_config({"trunks": {"inbound_addresses": [SBC]}, **sections}, env or {})


def trunk(item_id: str, **fields: Any) -> SipItem:
    return SipItem(Kind.INBOUND_TRUNK, item_id, fields)


def rule(item_id: str, **fields: Any) -> SipItem:
    content = {"dispatch_rule_individual": {"room_prefix": "call"}}
    return SipItem(Kind.DISPATCH_RULE, item_id, {"rule": content, **fields})


def outbound(item_id: str, **fields: Any) -> SipItem:
    return SipItem(Kind.OUTBOUND_TRUNK, item_id, fields)


def carried_out(plan: Plan, before: Sequence[SipItem]) -> list[SipItem]:
    """What LiveKit has afterwards, if it takes each step as it comes."""
    there = {(item.kind, item.id): item for item in before}
    made = 0
    ids: dict[str, str] = {}
    for step in plan.to_do:
        item = step.item
        if step.action is Action.DELETE:
            del there[item.kind, item.id]
            continue
        named = [ids.get(old, old) for old in item.fields.get("trunk_ids", [])]
        fields = {**item.fields, **({"trunk_ids": named} if named else {})}
        if step.action is Action.CREATE:
            made += 1
            ids[item.id] = new_id = f"~{made}"
            item = SipItem(item.kind, new_id, fields)
        else:
            item = SipItem(item.kind, item.id, fields)
        assert not [other for other in there.values() if clash(item, other)]
        there[item.kind, item.id] = item
    return list(there.values())


def actions(plan: Plan) -> dict[str, str]:
    return {step.item.id: str(step.action) for step in plan.steps}


@pytest.mark.parametrize(
    ("theirs", "action"),
    [
        (trunk("ST_1", allowed_addresses=["198.51.100.1"]), "in the way"),  # LiveKit refuses ours
        (trunk("ST_1", numbers=["+1555"]), "keep"),
        (trunk("ST_1", allowed_numbers=["+1777"]), "in the way"),  # takes calls from +1777
        (trunk("ST_1", allowed_numbers=["+1777"], allowed_addresses=["198.51.100.1"]), "keep"),
        (
            trunk("ST_1", allowed_numbers=["+1777"], allowed_addresses=["192.0.2.8/29"]),
            "in the way",
        ),
        (rule("SDR_1"), "keep"),
        (rule("SDR_1", trunk_ids=["ST_gone"]), "keep"),
        (outbound("ST_1", address="sip.example.com", numbers=["1"]), "keep"),
    ],
)
def test_what_others_have_is_in_the_way_if_calls_would_meet_it(
    theirs: SipItem, action: str
) -> None:
    assert actions(plan_setup(configured(), [theirs], prune=False))[theirs.id] == action
    pruned = {"keep": "keep", "in the way": "delete"}[action]
    assert actions(plan_setup(configured(), [theirs], prune=True))[theirs.id] == pruned


def test_a_rule_on_our_trunk_that_comes_before_ours_is_in_the_way() -> None:
    there = carried_out(plan_setup(configured(), [], prune=False), [])
    ours = next(item for item in there if item.kind is Kind.INBOUND_TRUNK)
    before = rule("SDR_1", trunk_ids=[ours.id], inbound_numbers=["+1777"])
    beside = rule("SDR_2", trunk_ids=[ours.id], numbers=["+1888"])
    plan = plan_setup(configured(), [*there, before, beside], prune=False)
    assert actions(plan)["SDR_1"] == "in the way"
    assert actions(plan)["SDR_2"] == "keep"


def test_what_is_useless_without_a_pruned_trunk_goes_with_it() -> None:
    items = [
        trunk("ST_any", allowed_addresses=[SBC]),
        trunk("ST_number", numbers=["+1555"]),
        rule("SDR_only", trunk_ids=["ST_any"]),
        rule("SDR_both", trunk_ids=["ST_any", "ST_number"]),
    ]
    plan = plan_setup(configured(), items, prune=True)
    assert [item.id for item in plan.lost] == ["ST_any", "SDR_only"]
    assert [step.item.id for step in plan.to_do][:2] == ["SDR_only", "ST_any"]


def test_a_trunk_of_old_that_serves_both_ways_goes_and_comes_back_whole() -> None:
    both = [trunk("ST_old"), outbound("ST_old", address="sip.example.com", numbers=["1"])]
    plan = plan_setup(configured(), both, prune=True)
    assert len(plan.lost) == 2
    again = plan_restore(plan.lost, [])
    assert [step.item.kind for step in again.to_do] == [Kind.INBOUND_TRUNK, Kind.OUTBOUND_TRUNK]


def test_trunks_that_contradict_each_other_keep_ours_from_being_made() -> None:
    twins = [trunk("ST_1", numbers=["+1"]), trunk("ST_2", numbers=["1"])]
    assert actions(plan_setup(configured(), twins, prune=False))["ST_2"] == "in the way"
    there = carried_out(plan_setup(configured(), [], prune=False), [])
    plan = plan_setup(configured(), [*there, *twins], prune=False)
    assert not plan.in_the_way
    assert not plan.to_do


def test_a_password_is_never_in_a_plan() -> None:
    env = {"SIP_INBOUND_USERNAME": "u", "SIP_INBOUND_PASSWORD": "new-secret"}
    old = trunk("ST_1", metadata=mark(), auth_username="u", auth_password="old-secret")
    plan = plan_setup(configured(env), [old], prune=False)
    assert "auth_password differs" in plan.to_do[0].why
    assert "secret" not in repr(plan)


numbers = st.lists(st.sampled_from(["+15550100", "15550100", "+1777", "call-…"]), max_size=2)
masks = st.lists(
    st.sampled_from([SBC, "192.0.2.0/24", "198.51.100.1", "0.0.0.0/0", "host", "no mask"]),
    max_size=2,
)
contents = st.sampled_from(
    [
        {"dispatch_rule_direct": {"room_name": "lobby"}},
        {"dispatch_rule_individual": {}},
        {"dispatch_rule_callee": {}},
        {"dispatch_rule_callee": {"room_prefix": "x", "pin": "1"}},
    ]
)


def made(*keys: str) -> Callable[..., dict[str, Any]]:
    return lambda *values: {key: value for key, value in zip(keys, values, strict=True) if value}


@st.composite
def livekits(draw: st.DrawFn) -> list[SipItem]:
    """Whatever somebody has, some of it marked as ours, much of what LiveKit would refuse."""
    owner = st.sampled_from(["", "", mark()])
    trunk_fields = st.builds(
        made("numbers", "allowed_numbers", "allowed_addresses", "metadata"),
        numbers,
        numbers,
        masks,
        owner,
    )
    rule_fields = st.builds(
        made("rule", "trunk_ids", "numbers", "inbound_numbers", "metadata"),
        contents,
        st.lists(st.sampled_from(["ST_0", "ST_1", "ST_9"]), max_size=2, unique=True),
        numbers,
        numbers,
        owner,
    )
    trunks = draw(st.lists(trunk_fields, max_size=4))
    rules = draw(st.lists(rule_fields, max_size=4))
    return [
        *(SipItem(Kind.INBOUND_TRUNK, f"ST_{n}", fields) for n, fields in enumerate(trunks)),
        *(SipItem(Kind.DISPATCH_RULE, f"SDR_{n}", fields) for n, fields in enumerate(rules)),
    ]


@settings(deadline=None)
@given(livekits())
def test_whatever_there_is_once_pruned_every_call_reaches_its_room(items: list[SipItem]) -> None:
    plan = plan_setup(configured(), items, prune=True)
    assert not plan.in_the_way
    after = carried_out(plan, items)
    for invite in probes([SBC], items):
        met = route(invite, after)
        assert (met.room, met.problem) == (CALLED, "")
        assert met.trunk
        assert met.rule
        assert met.trunk.is_ours
        assert met.rule.is_ours
    assert not plan_setup(configured(), after, prune=True).to_do


@settings(deadline=None)
@given(livekits())
def test_without_prune_nothing_of_others_is_touched(items: list[SipItem]) -> None:
    plan = plan_setup(configured(), items, prune=False)
    assert all(step.item.is_ours for step in plan.to_do)
    if not plan.in_the_way:
        assert not plan_setup(configured(), carried_out(plan, items), prune=False).to_do


@settings(deadline=None)
@given(livekits())
def test_what_was_pruned_comes_back_as_it_was(items: list[SipItem]) -> None:
    plan = plan_setup(configured(), items, prune=True)
    after = carried_out(plan, items)
    back = plan_restore(plan.lost, after)
    # What clashes among itself LiveKit would not have had; then it may not come back either.
    lost = [item for item in items if not item.is_ours]
    if any(clash(one, other) for one in lost for other in lost) or _twice(lost):
        return
    restored = carried_out(back, after)
    assert sorted(map(_said, restored)) == sorted(map(_said, lost))
    assert not plan_restore(plan.lost, restored).to_do


def _twice(items: Sequence[SipItem]) -> bool:
    return len({_said(item) for item in items}) < len(items)


def _said(item: SipItem) -> str:
    return str(sorted((k, v) for k, v in item.fields.items() if k != "trunk_ids"))


def test_a_restored_rule_names_its_trunk_by_the_new_id() -> None:
    saved = [trunk("ST_1", name="any"), rule("SDR_1", trunk_ids=["ST_1", "ST_2"])]
    kept = rule("SDR_2", trunk_ids=["ST_3", "ST_1"], numbers=["+1"])
    after = carried_out(plan_restore(saved, [kept]), [kept])
    named = {item.id: item.fields.get("trunk_ids") for item in after}
    assert named == {"~1": None, "~2": ["~1", "ST_2"], "SDR_2": ["ST_3", "~1"]}


def test_what_another_made_since_can_be_in_the_way_of_a_restore() -> None:
    saved, since = [trunk("ST_1", name="old")], trunk("ST_2", name="since")
    assert actions(plan_restore(saved, [since]))["ST_2"] == "in the way"


OUT = {"inbound_addresses": [SBC], "outbound_address": "h:5060", "outbound_numbers": ["1"]}


@pytest.mark.parametrize(
    ("env", "trunks", "says"),
    [
        ({}, {}, "trunks.inbound_addresses is empty"),
        ({"SIP_INBOUND_USERNAME": "u"}, {}, "SIP_INBOUND_USERNAME and SIP_INBOUND_PASSWORD"),
        ({"SIP_OUTBOUND_PASSWORD": "p"}, OUT, "SIP_OUTBOUND_USERNAME and SIP_OUTBOUND_PASSWORD"),
        ({}, {"inbound_addresses": ["192.0.2.10:5060"]}, "192.0.2.10:5060"),
        ({}, {"inbound_addresses": ["192.0.2.0/255.0.0.0"]}, "/255.0.0.0"),
        ({}, {"inbound_addresses": ["192.0.2.300"]}, "192.0.2.300"),
        ({}, {"inbound_addresses": ["sip:sbc.example.com"]}, "no scheme"),
        ({}, {**OUT, "outbound_address": "sip:h"}, "host[:port]"),
        ({}, {**OUT, "outbound_numbers": []}, "outbound_numbers is empty"),
        ({"GATEWAY__INBOUND__STRATEGY": "participant"}, {}, "trunks.outbound_address is not set"),
    ],
)
def test_settings_that_cannot_do_are_refused(
    env: dict[str, str], trunks: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        wanted_items(configured(env, trunks=trunks))
    assert len(refused.value.problems) == 1
    assert says in refused.value.problems[0]


def test_what_is_wanted_says_only_what_was_set() -> None:
    trunk_wanted, rule_wanted = wanted_items(configured())
    assert trunk_wanted.fields == {
        "name": "jambonz-livekit-gateway",
        "metadata": mark(),
        "allowed_addresses": [SBC],
        "include_headers": "SIP_X_HEADERS",
        "headers_to_attributes": {"X-Call-Id": "call_id", "X-Account-Code": "account_code"},
    }
    assert rule_wanted.fields["rule"] == {"dispatch_rule_callee": {}}
    assert rule_wanted.fields["trunk_ids"] == [NEW]


@pytest.mark.parametrize(
    ("env", "sections", "says"),
    [
        ({}, {"trunks": {"inbound_addresses": ["sbc.example.com"]}}, "is a host name"),
        ({}, {"trunks": {"inbound_addresses": ["0.0.0.0/0"]}}, "lets everybody call in"),
        ({"SIP_INBOUND_USERNAME": "u", "SIP_INBOUND_PASSWORD": "p"}, {}, "challenges every INVITE"),
        ({}, {}, "/dispatch needs it"),
        ({"SIP_OUTBOUND_TRUNK_ID": "ST_x"}, {}, "no outbound trunk ST_x"),
        ({"SIP_OUTBOUND_TRUNK_ID": "ST_o"}, {"trunks": OUT}, "calls go out through ST_o"),
    ],
)
def test_what_one_had_better_know(env: dict[str, str], sections: dict[str, Any], says: str) -> None:
    assert [
        line for line in advice(configured(env, **sections), [outbound("ST_o")]) if says in line
    ]


def test_an_outbound_trunk_of_ours_from_before_is_enough() -> None:
    old = outbound("ST_o", metadata=mark())
    assert not advice(configured(), [old])
    plan = plan_setup(configured(), [old], prune=True)
    assert actions(plan)["ST_o"] == "keep"


def test_hosts_and_networks_are_probed_where_others_overlap() -> None:
    items = [trunk("a", allowed_addresses=["192.0.2.64/26", "10.0.0.1"], allowed_numbers=["+1777"])]
    asked = probes(["192.0.2.0/24", "sbc.example.com"], items)
    assert Invite("+1777", CALLED, "192.0.2.64") in asked
    assert Invite("+15550100", CALLED, "203.0.113.1", "sbc.example.com") in asked
    assert not [invite for invite in asked if invite.source_ip == "10.0.0.1"]
    assert Invite("+1777", CALLED, "10.0.0.1") in probes([], items)
