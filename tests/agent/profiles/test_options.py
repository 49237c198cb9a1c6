"""Which profile a call gets, and what the call changes in it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from agent.context import CallContext
from agent.profiles.loader import parse_agents
from agent.profiles.options import (
    OptionsInvalid,
    UnknownProfile,
    read_lookup,
    read_options,
    resolve,
)
from agent.profiles.profile import AgentsFile, Profile
from agent.profiles.routing import CallFacts, call_facts, route

AGENTS = parse_agents(
    """\
profiles:
  default: {greeting: "Hello {{name|you}}", variables: {name: Ana}}
  clinic: {greeting: "Clinic {{account_code}}", silence: {after: 3, goodbye: Bye}}
  sales: {}
  support: {}
routes:
  - {number: "+61 491 570 156", direction: inbound, profile: clinic}
  - {account_code: em-tech-01, profile: support}
  - {trunk: my-carrier, profile: sales}
  - {number: Reception, profile: clinic}
""",
    {},
)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (CallFacts(), "default"),
        (CallFacts(to_number="+61491570156", direction="inbound"), "clinic"),
        (CallFacts(to_number="61491570156", direction="inbound"), "clinic"),
        (CallFacts(to_number="+61491570156", direction="outbound"), "default"),
        (CallFacts(from_number="+61491570156", direction="inbound"), "default"),
        (CallFacts(to_number="reception"), "clinic"),
        (CallFacts(account_code="em-tech-01", trunk="my-carrier"), "support"),
        (CallFacts(account_code="EM-TECH-01", trunk="my-carrier"), "sales"),
        (CallFacts(account_code="em-tech-02"), "default"),
    ],
)
def test_the_first_route_that_matches(call: CallFacts, expected: str) -> None:
    assert route(AGENTS.routes, call) == expected


def test_facts_of_a_call_that_a_gateway_brought() -> None:
    call = CallContext(
        call_id="call-1",
        direction="inbound",
        from_number="+15550100",
        to_number="+15550199",
        trunk="my-carrier",
        metadata={"account_code": "em-tech-01"},
    )
    attributes = {"sip.trunkID": "ST_1", "sip.trunkPhoneNumber": "+15550111"}
    expected = CallFacts(
        "call-1", "inbound", "+15550100", "+15550199", "em-tech-01", trunk="my-carrier"
    )
    assert call_facts(call, attributes) == expected


def test_facts_of_a_call_without_a_gateway() -> None:
    attributes = {
        "sip.callID": "SCL_1",
        "sip.ruleID": "SDR_1",
        "sip.trunkID": "ST_1",
        "sip.phoneNumber": "+15550100",
        "sip.trunkPhoneNumber": "+15550199",
    }
    expected = CallFacts("SCL_1", "inbound", "+15550100", "+15550199", trunk="ST_1")
    assert call_facts(CallContext(), attributes) == expected
    assert call_facts(CallContext()) == CallFacts()


def own_profile(
    options: dict[str, Any] | None = None, lookup: object = None, **call: Any
) -> Profile:
    context = CallContext(call_id="call-1", session_options=options or {}, **call)
    found = read_lookup(lookup) if lookup is not None else None
    now = datetime(2026, 11, 26, tzinfo=UTC)
    return resolve(AGENTS, context, call_facts(context), lookup=found, now=now)[1]


def test_options_change_what_they_name() -> None:
    options = {"profile": "clinic", "silence": {"after": 9}, "language": "de", "greeting": None}
    profile = own_profile(options, metadata={"account_code": "em-1"})
    assert profile.greeting == "Clinic em-1"
    assert (profile.silence.after, profile.silence.goodbye) == (9, "Bye")
    assert profile.language == "de"


def test_the_dispatch_wins_over_the_lookup_and_that_over_the_file() -> None:
    lookup = {
        "profile": "sales",
        "variables": {"name": "looked up", "other": "looked up"},
        "session_options": {"language": "fr", "voice": "looked up", "greeting": "{{name}}"},
        "more": "that n8n answers",
    }
    profile = own_profile(None, lookup)
    assert (profile.greeting, profile.language, profile.voice) == ("looked up", "fr", "looked up")
    options = {"profile": "default", "variables": {"name": "dispatched"}, "language": "de"}
    profile = own_profile(options, lookup, metadata={"name": "metadata"})
    assert (profile.greeting, profile.language) == ("dispatched", "de")


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        ({}, "Hello Ana"),
        ({"metadata": {"name": "Bo"}}, "Hello Bo"),
        ({"metadata": {"name": "Bo"}, "lookup": {"variables": {"name": "Cy"}}}, "Hello Cy"),
        (
            {
                "metadata": {"name": "Bo"},
                "lookup": {
                    "variables": {"name": "Cy"},
                    "session_options": {"variables": {"name": "Di"}},
                },
            },
            "Hello Di",
        ),
        (
            {
                "lookup": {"session_options": {"variables": {"name": "Di"}}},
                "options": {"variables": {"name": "Ed"}},
            },
            "Hello Ed",
        ),
        ({"options": {"variables": {"name": None}}}, "Hello Ana"),
    ],
)
def test_where_a_variable_comes_from(sources: dict[str, Any], expected: str) -> None:
    assert own_profile(**sources).greeting == expected


@pytest.mark.parametrize(
    ("metadata", "targets", "tools"),
    [
        ({"transfer_target": "+61491570156"}, {"desk": "+61491570156", "pbx": "100"}, 2),
        ({}, {"pbx": "100"}, 2),
        ({"no": "one"}, {}, 1),
    ],
)
def test_nobody_is_transferred_to_a_target_that_is_empty(
    metadata: dict[str, str], targets: dict[str, str], tools: int
) -> None:
    pbx = "" if "no" in metadata else ', pbx: "100"'
    agents = parse_agents(
        f"""\
profiles:
  default:
    tools: [{{type: end_call}}, {{type: transfer}}]
    transfer: {{targets: {{desk: "{{{{transfer_target}}}}"{pbx}}}}}
    failure: {{transfer: "{{{{transfer_target}}}}"}}
""",
        {},
    )
    call = CallContext(metadata=metadata)
    _, profile = resolve(agents, call, CallFacts())
    assert profile.transfer.targets == targets
    assert len(profile.tools) == tools
    assert profile.failure.transfer == metadata.get("transfer_target")


@pytest.mark.parametrize(
    ("options", "lookup"),
    [
        ({"profile": "clinik"}, None),
        (None, {"profile": "clinik"}),
        (None, {"session_options": {"profile": "clinik"}}),
    ],
)
def test_an_unknown_profile_is_named(options: dict[str, Any] | None, lookup: object) -> None:
    text = "agents.yaml has no profile 'clinik'; it has: default, clinic, sales, support"
    with pytest.raises(UnknownProfile, match=text):
        own_profile(options, lookup)


def test_a_file_may_lack_the_profile_default() -> None:
    agents = AgentsFile(profiles={"clinic": Profile()})
    with pytest.raises(UnknownProfile, match="no profile 'default'"):
        resolve(agents, CallContext(), CallFacts())


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"silence": {"aftr": 3}}, 'session_options.silence.aftr: unknown key; did you mean "aft'),
        ({"llm": "openai/gpt"}, "session_options.llm: unknown key; there are: profile, "),
        ({"language": 5}, "session_options.language: must be text: put it into quotes"),
        (
            {"silence": {"after": -1}, "keyterms": "a"},
            "session_options.silence.after: must be at least 0; "
            "session_options.keyterms: must be a list",
        ),
    ],
)
def test_options_that_cannot_be_used(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(OptionsInvalid) as caught:
        read_options(options)
    assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("answer", ["<html>", [], 5, None, {"variables": []}, {"profile": 5}])
def test_a_lookup_that_answers_something_else(answer: object) -> None:
    with pytest.raises(OptionsInvalid, match="lookup"):
        read_lookup(answer)


def test_the_text_of_a_refusal_has_no_values() -> None:
    with pytest.raises(OptionsInvalid) as caught:
        read_options({"language": ["what a caller said"], "variables": {"a": ["said"]}})
    assert "said" not in str(caught.value)
