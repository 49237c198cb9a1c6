"""The shipped workflow files by themselves: complete, importable, without secrets."""

import json

import pytest

from tests.n8n.conftest import DISPATCH, DISPATCH_AND_WAIT, NAMES, WORKFLOWS, node, shipped
from tests.n8n.editor import JSON

TRIGGERS = {"n8n-nodes-base.manualTrigger", "n8n-nodes-base.webhook"}
STICKY = "n8n-nodes-base.stickyNote"


@pytest.fixture(params=NAMES)
def workflow(request: pytest.FixtureRequest) -> JSON:
    return shipped(request.param)


def targets(workflow: JSON, source: str) -> set[str]:
    """The nodes that `source` leads to at once."""
    outputs = workflow["connections"].get(source, {"main": []})["main"]
    return {link["node"] for output in outputs for link in output}


def test_there_are_three_with_ids_of_their_own() -> None:
    assert sorted(file.stem for file in WORKFLOWS.iterdir()) == list(NAMES)
    assert len({shipped(name)["id"] for name in NAMES}) == 3


def test_the_example_call_is_the_same_in_both() -> None:
    first, second = (
        {field["name"]: field["value"] for field in fields}
        for fields in (
            node(shipped(name), "Call")["parameters"]["assignments"]["assignments"]
            for name in (DISPATCH, DISPATCH_AND_WAIT)
        )
    )
    assert first == second
    assert set(first) == {"gateway_url", "call", "idempotency_key"}


def test_is_what_n8n_imports(workflow: JSON) -> None:
    assert 0 < len(workflow["id"]) <= 36
    assert workflow["name"]
    assert workflow["active"] is False
    assert workflow["settings"]["executionOrder"] == "v1"
    for one in workflow["nodes"]:
        assert {"id", "name", "type", "typeVersion", "position", "parameters"} <= one.keys()
    for key in ("id", "name"):
        assert len({one[key] for one in workflow["nodes"]}) == len(workflow["nodes"])


def test_nodes_that_are_called_have_a_webhook_id(workflow: JSON) -> None:
    for one in workflow["nodes"]:
        if one["type"] in {"n8n-nodes-base.wait", "n8n-nodes-base.webhook"}:
            assert one["webhookId"]


def test_connections_name_nodes_and_reach_all_of_them(workflow: JSON) -> None:
    names = {one["name"] for one in workflow["nodes"]}
    assert workflow["connections"].keys() <= names
    reached = {one["name"] for one in workflow["nodes"] if one["type"] in TRIGGERS}
    assert len(reached) == 1
    while more := set().union(*(targets(workflow, name) for name in reached)) - reached:
        reached |= more
    assert reached == names - {one["name"] for one in workflow["nodes"] if one["type"] == STICKY}


def test_a_sticky_note_says_what_to_set(workflow: JSON) -> None:
    (note,) = (one for one in workflow["nodes"] if one["type"] == STICKY)
    text = note["parameters"]["content"]
    assert "X-API-Key" in text
    assert "Idempotency-Key" in text
    names = {one["name"] for one in workflow["nodes"]}
    if names & {"Until it ended", "Gateway calls"}:
        assert "CALLBACK_HEADER" in text
    if "Call" in names:
        assert "gateway_url" in text


def test_carries_no_credentials_and_no_secrets(workflow: JSON) -> None:
    for one in workflow["nodes"]:
        assert "credentials" not in one
        sent = one["parameters"].get("headerParameters", {"parameters": []})["parameters"]
        assert {header["name"] for header in sent} <= {"Idempotency-Key"}
        if one["type"] != STICKY:
            text = json.dumps(one["parameters"]).lower()
            assert not [word for word in ("secret", "bearer", "password", "token") if word in text]
    assert not workflow.get("pinData")
