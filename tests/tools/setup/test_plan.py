"""The plan of setup: managed items, foreign items, and that calls reach their room afterwards."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.loader import build_config
from gateway.config.settings import Config
from gateway.errors import ConfigError
from gateway.livekit.trunks import Kind, SipItem, mark
from gateway.tools.setup.collisions import collide
from gateway.tools.setup.conflicts import CALLED_USER, probe_invites
from gateway.tools.setup.desired import NEW, advice, desired_items
from gateway.tools.setup.plan import Action, Plan, plan_setup
from gateway.tools.setup.restore import plan_restore
from gateway.tools.setup.routing import Invite, route

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


def applied(plan: Plan, before: Sequence[SipItem]) -> list[SipItem]:
    """The items that LiveKit has after each step of the plan; none of them collide."""
    items = {(item.kind, item.id): item for item in before}
    created = 0
    ids: dict[str, str] = {}
    for step in plan.changes:
        item = step.item
        if step.action is Action.DELETE:
            del items[item.kind, item.id]
            continue
        trunk_ids = [ids.get(old, old) for old in item.fields.get("trunk_ids", [])]
        fields = {**item.fields, **({"trunk_ids": trunk_ids} if trunk_ids else {})}
        if step.action is Action.CREATE:
            created += 1
            ids[item.id] = new_id = f"~{created}"
            item = SipItem(item.kind, new_id, fields)
        else:
            item = SipItem(item.kind, item.id, fields)
        assert not [other for other in items.values() if collide(item, other)]
        items[item.kind, item.id] = item
    return list(items.values())


def actions(plan: Plan) -> dict[str, str]:
    return {step.item.id: str(step.action) for step in plan.steps}


@pytest.mark.parametrize(
    ("foreign", "action"),
    [
        (
            trunk("ST_1", allowed_addresses=["198.51.100.1"]),
            "conflict",
        ),  # collides
        (trunk("ST_1", numbers=["+1555"]), "unchanged"),
        (trunk("ST_1", allowed_numbers=["+1777"]), "conflict"),  # takes calls from +1777
        (trunk("ST_1", allowed_numbers=["+1777"], allowed_addresses=["198.51.100.1"]), "unchanged"),
        (
            trunk("ST_1", allowed_numbers=["+1777"], allowed_addresses=["192.0.2.8/29"]),
            "conflict",
        ),
        (rule("SDR_1"), "unchanged"),
        (rule("SDR_1", trunk_ids=["ST_gone"]), "unchanged"),
        (outbound("ST_1", address="sip.example.com", numbers=["1"]), "unchanged"),
    ],
)
def test_a_foreign_item_conflicts_if_it_would_take_calls(foreign: SipItem, action: str) -> None:
    assert actions(plan_setup(configured(), [foreign], prune=False))[foreign.id] == action
    pruned = {"unchanged": "unchanged", "conflict": "delete"}[action]
    assert actions(plan_setup(configured(), [foreign], prune=True))[foreign.id] == pruned


def test_a_foreign_rule_that_precedes_the_managed_one_conflicts() -> None:
    existing = applied(plan_setup(configured(), [], prune=False), [])
    managed = next(item for item in existing if item.kind is Kind.INBOUND_TRUNK)
    preceding = rule("SDR_1", trunk_ids=[managed.id], inbound_numbers=["+1777"])
    unrelated = rule("SDR_2", trunk_ids=[managed.id], numbers=["+1888"])
    plan = plan_setup(configured(), [*existing, preceding, unrelated], prune=False)
    assert actions(plan)["SDR_1"] == "conflict"
    assert actions(plan)["SDR_2"] == "unchanged"


def test_a_rule_without_trunks_is_pruned_with_its_trunk() -> None:
    items = [
        trunk("ST_any", allowed_addresses=[SBC]),
        trunk("ST_number", numbers=["+1555"]),
        rule("SDR_only", trunk_ids=["ST_any"]),
        rule("SDR_both", trunk_ids=["ST_any", "ST_number"]),
    ]
    plan = plan_setup(configured(), items, prune=True)
    assert [item.id for item in plan.foreign_deletions] == ["ST_any", "SDR_only"]
    assert [step.item.id for step in plan.changes][:2] == ["SDR_only", "ST_any"]


def test_a_trunk_for_both_directions_is_pruned_and_restored() -> None:
    both = [trunk("ST_old"), outbound("ST_old", address="sip.example.com", numbers=["1"])]
    plan = plan_setup(configured(), both, prune=True)
    assert len(plan.foreign_deletions) == 2
    restore = plan_restore(plan.foreign_deletions, [])
    assert [step.item.kind for step in restore.changes] == [Kind.INBOUND_TRUNK, Kind.OUTBOUND_TRUNK]


def test_colliding_foreign_trunks_conflict_if_a_trunk_is_created() -> None:
    colliding = [trunk("ST_1", numbers=["+1"]), trunk("ST_2", numbers=["1"])]
    assert actions(plan_setup(configured(), colliding, prune=False))["ST_2"] == "conflict"
    existing = applied(plan_setup(configured(), [], prune=False), [])
    plan = plan_setup(configured(), [*existing, *colliding], prune=False)
    assert not plan.conflicts
    assert not plan.changes


def test_a_password_is_never_in_a_plan() -> None:
    env = {"SIP_INBOUND_USERNAME": "u", "SIP_INBOUND_PASSWORD": "new-secret"}
    old = trunk("ST_1", metadata=mark(), auth_username="u", auth_password="old-secret")
    plan = plan_setup(configured(env), [old], prune=False)
    assert "auth_password differs" in plan.changes[0].reason
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


def fields_of(*keys: str) -> Callable[..., dict[str, Any]]:
    return lambda *values: {key: value for key, value in zip(keys, values, strict=True) if value}


@st.composite
def livekits(draw: st.DrawFn) -> list[SipItem]:
    """Random items, some marked as managed, also combinations that LiveKit would refuse."""
    owner = st.sampled_from(["", "", mark()])
    trunk_fields = st.builds(
        fields_of("numbers", "allowed_numbers", "allowed_addresses", "metadata"),
        numbers,
        numbers,
        masks,
        owner,
    )
    rule_fields = st.builds(
        fields_of("rule", "trunk_ids", "numbers", "inbound_numbers", "metadata"),
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
def test_after_prune_every_call_reaches_its_room(items: list[SipItem]) -> None:
    plan = plan_setup(configured(), items, prune=True)
    assert not plan.conflicts
    after = applied(plan, items)
    for invite in probe_invites([SBC], items):
        taken = route(invite, after)
        assert (taken.room, taken.problem) == (CALLED_USER, "")
        assert taken.trunk
        assert taken.rule
        assert taken.trunk.is_ours
        assert taken.rule.is_ours
    assert not plan_setup(configured(), after, prune=True).changes


@settings(deadline=None)
@given(livekits())
def test_without_prune_no_foreign_item_changes(items: list[SipItem]) -> None:
    plan = plan_setup(configured(), items, prune=False)
    assert all(step.item.is_ours for step in plan.changes)
    if not plan.conflicts:
        assert not plan_setup(configured(), applied(plan, items), prune=False).changes


@settings(deadline=None)
@given(livekits())
def test_a_restore_brings_back_what_was_pruned(items: list[SipItem]) -> None:
    plan = plan_setup(configured(), items, prune=True)
    after = applied(plan, items)
    restore = plan_restore(plan.foreign_deletions, after)
    # LiveKit would not have had items that collide; these need not come back either.
    foreign = [item for item in items if not item.is_ours]
    if any(collide(first, second) for first in foreign for second in foreign) or _has_duplicates(
        foreign
    ):
        return
    restored = applied(restore, after)
    assert sorted(map(_content, restored)) == sorted(map(_content, foreign))
    assert not plan_restore(plan.foreign_deletions, restored).changes


def _has_duplicates(items: Sequence[SipItem]) -> bool:
    return len({_content(item) for item in items}) < len(items)


def _content(item: SipItem) -> str:
    return str(sorted((k, v) for k, v in item.fields.items() if k != "trunk_ids"))


def test_a_restored_rule_names_its_trunk_by_the_new_id() -> None:
    saved = [trunk("ST_1", name="any"), rule("SDR_1", trunk_ids=["ST_1", "ST_2"])]
    other = rule("SDR_2", trunk_ids=["ST_3", "ST_1"], numbers=["+1"])
    after = applied(plan_restore(saved, [other]), [other])
    trunk_ids = {item.id: item.fields.get("trunk_ids") for item in after}
    assert trunk_ids == {"~1": None, "~2": ["~1", "ST_2"], "SDR_2": ["ST_3", "~1"]}


def test_an_item_created_since_can_conflict_with_a_restore() -> None:
    saved, newer = [trunk("ST_1", name="old")], trunk("ST_2", name="newer")
    assert actions(plan_restore(saved, [newer]))["ST_2"] == "conflict"


OUT = {"inbound_addresses": [SBC], "outbound_address": "h:5060", "outbound_numbers": ["1"]}


@pytest.mark.parametrize(
    ("env", "trunks", "text"),
    [
        ({}, {}, "trunks.inbound_addresses is empty"),
        ({"SIP_INBOUND_USERNAME": "u"}, {}, "SIP_INBOUND_USERNAME and SIP_INBOUND_PASSWORD"),
        ({"SIP_OUTBOUND_PASSWORD": "p"}, OUT, "SIP_OUTBOUND_USERNAME and SIP_OUTBOUND_PASSWORD"),
        ({}, {"inbound_addresses": ["192.0.2.10:5060"]}, "192.0.2.10:5060"),
        ({}, {"inbound_addresses": ["192.0.2.0/255.0.0.0"]}, "/255.0.0.0"),
        ({}, {"inbound_addresses": ["192.0.2.300"]}, "192.0.2.300"),
        ({}, {"inbound_addresses": ["sip:sbc.example.com"]}, "no scheme"),
        ({}, {**OUT, "outbound_address": "https://h/x"}, "trunks.outbound_address: must be a host"),
        ({}, {**OUT, "outbound_numbers": []}, "outbound_numbers is empty"),
        ({"GATEWAY__INBOUND__STRATEGY": "participant"}, {}, "trunks.outbound_address is not set"),
    ],
)
def test_insufficient_settings_are_refused(
    env: dict[str, str], trunks: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        desired_items(configured(env, trunks=trunks))
    assert len(refused.value.problems) == 1
    assert text in refused.value.problems[0]


def test_the_desired_items_have_only_configured_fields() -> None:
    desired_trunk, desired_rule = desired_items(configured())
    assert desired_trunk.fields == {
        "name": "jambonz-livekit-gateway",
        "metadata": mark(),
        "allowed_addresses": [SBC],
        "include_headers": "SIP_X_HEADERS",
        "headers_to_attributes": {"X-Call-Id": "call_id", "X-Account-Code": "account_code"},
    }
    assert desired_rule.fields["rule"] == {"dispatch_rule_callee": {}}
    assert desired_rule.fields["trunk_ids"] == [NEW]


@pytest.mark.parametrize(
    ("env", "sections", "text"),
    [
        ({}, {"trunks": {"inbound_addresses": ["sbc.example.com"]}}, "is a host name"),
        ({}, {"trunks": {"inbound_addresses": ["0.0.0.0/0"]}}, "accepts calls from every address"),
        ({"SIP_INBOUND_USERNAME": "u", "SIP_INBOUND_PASSWORD": "p"}, {}, "challenges every INVITE"),
        ({}, {}, "POST /dispatch"),
        ({"SIP_OUTBOUND_TRUNK_ID": "ST_x"}, {}, "names ST_x, but LiveKit has no such"),
        ({"SIP_OUTBOUND_TRUNK_ID": "ST_o"}, {"trunks": OUT}, "outbound calls use ST_o"),
    ],
)
def test_advice_on_settings(env: dict[str, str], sections: dict[str, Any], text: str) -> None:
    assert [
        line for line in advice(configured(env, **sections), [outbound("ST_o")]) if text in line
    ]


@pytest.mark.field("J5")
def test_a_password_is_no_reason_for_a_warning() -> None:
    env = {"SIP_INBOUND_USERNAME": "u", "SIP_INBOUND_PASSWORD": "p"}
    text = " ".join(advice(configured(env), [outbound("ST_o")]))
    assert "repeats the INVITE with them" in text
    assert "Call-ID" not in text
    assert "reliable" not in text


def test_a_managed_outbound_trunk_of_an_earlier_setup_is_enough() -> None:
    old = outbound("ST_o", metadata=mark())
    assert not advice(configured(), [old])
    plan = plan_setup(configured(), [old], prune=True)
    assert actions(plan)["ST_o"] == "unchanged"


def test_probes_cover_hosts_and_overlapping_networks() -> None:
    items = [trunk("a", allowed_addresses=["192.0.2.64/26", "10.0.0.1"], allowed_numbers=["+1777"])]
    invites = probe_invites(["192.0.2.0/24", "sbc.example.com"], items)
    assert Invite("+1777", CALLED_USER, "192.0.2.64") in invites
    assert Invite("+15550100", CALLED_USER, "203.0.113.1", "sbc.example.com") in invites
    assert not [invite for invite in invites if invite.source_ip == "10.0.0.1"]
    assert Invite("+1777", CALLED_USER, "10.0.0.1") in probe_invites([], items)


SDES = {"sip_transport": "tls", "sip_media_encryption": "sdes"}
ENCRYPTED = {"encryption": "SIP_MEDIA_ENCRYPT_REQUIRE"}


def test_with_sdes_both_trunks_require_encrypted_media() -> None:
    inbound_trunk, _, outbound_trunk = desired_items(configured(livekit=SDES, trunks=OUT))
    assert (inbound_trunk.fields["media"], outbound_trunk.fields["media"]) == (ENCRYPTED, ENCRYPTED)
    assert outbound_trunk.fields["transport"] == "SIP_TRANSPORT_TLS"
    for item in desired_items(configured(trunks=OUT)):
        assert "media" not in item.fields


@pytest.mark.parametrize(
    ("livekit", "before", "after"),
    [
        (SDES, {"codecs": [{"name": "PCMA"}]}, {"codecs": [{"name": "PCMA"}], **ENCRYPTED}),
        ({}, {"codecs": [{"name": "PCMA"}], **ENCRYPTED}, {"codecs": [{"name": "PCMA"}]}),
        ({}, ENCRYPTED, None),
    ],
)
def test_setup_changes_the_encryption_and_no_other_setting_of_media(
    livekit: dict[str, str], before: dict[str, Any], after: dict[str, Any] | None
) -> None:
    (desired, *_) = desired_items(configured())
    # LiveKit shows the encryption in a deprecated field, too.
    legacy = {"media_encryption": before["encryption"]} if "encryption" in before else {}
    old = trunk("ST_1", **{**desired.fields, "media": before, **legacy})
    (step,) = (s for s in plan_setup(configured(livekit=livekit), [old], prune=False).steps[:1])
    assert step.action is Action.UPDATE
    assert step.item.fields.get("media") == after
    assert "media_encryption" not in step.item.fields


def test_a_trunk_whose_media_is_left_to_livekit_is_unchanged() -> None:
    (desired, *_) = desired_items(configured())
    (step,) = plan_setup(
        configured(), [trunk("ST_1", **{**desired.fields, "media": {}})], prune=False
    ).steps[:1]
    assert step.action is Action.UNCHANGED


@pytest.mark.parametrize(
    ("livekit", "trunks", "text"),
    [
        ({"sip_media_encryption": "sdes"}, OUT, "needs livekit.sip_transport tls, not tcp"),
        (SDES, {**OUT, "outbound_transport": "udp"}, "trunks.outbound_transport must be tls"),
    ],
)
def test_keys_are_never_sent_in_the_clear(
    livekit: dict[str, str], trunks: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        desired_items(configured(livekit=livekit, trunks=trunks))
