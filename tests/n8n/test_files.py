"""The shipped workflow files by themselves: complete, importable, without secrets."""

import csv
import json
import re

import pytest

from tests.n8n.conftest import (
    CALL_LIST,
    DISPATCH,
    DISPATCH_AND_WAIT,
    NAMES,
    RECEPTIONIST,
    WORKFLOWS,
    node_of,
    shipped_workflow,
)
from tests.n8n.editor import JSON

TRIGGERS = {
    "n8n-nodes-base.manualTrigger",
    "n8n-nodes-base.scheduleTrigger",
    "n8n-nodes-base.webhook",
    "@n8n/n8n-nodes-langchain.mcpTrigger",
}
#: How many triggers a workflow has; the others have one.
SEVERAL_TRIGGERS = {RECEPTIONIST: 4, CALL_LIST: 2}
STICKY_NOTE = "n8n-nodes-base.stickyNote"


@pytest.fixture(params=NAMES)
def workflow(request: pytest.FixtureRequest) -> JSON:
    return shipped_workflow(request.param)


def targets(workflow: JSON, source: str) -> set[str]:
    """The nodes that the outputs of `source` are connected to."""
    outputs = workflow["connections"].get(source, {}).get("main", [])
    return {link["node"] for output in outputs for link in output}


def test_the_workflows_have_different_ids() -> None:
    assert sorted(file.stem for file in WORKFLOWS.glob("*.json")) == list(NAMES)
    assert len({shipped_workflow(name)["id"] for name in NAMES}) == len(NAMES)


def test_both_dispatch_workflows_have_the_same_example_call() -> None:
    first, second = (
        {field["name"]: field["value"] for field in fields}
        for fields in (
            node_of(shipped_workflow(name), "Call")["parameters"]["assignments"]["assignments"]
            for name in (DISPATCH, DISPATCH_AND_WAIT)
        )
    )
    assert first == second
    assert set(first) == {"gateway_url", "call", "idempotency_key"}


def test_a_workflow_has_what_n8n_needs_to_import_it(workflow: JSON) -> None:
    assert 0 < len(workflow["id"]) <= 36
    assert workflow["name"]
    assert workflow["active"] is False
    assert workflow["settings"]["executionOrder"] == "v1"
    for node in workflow["nodes"]:
        assert {"id", "name", "type", "typeVersion", "position", "parameters"} <= node.keys()
    for key in ("id", "name"):
        assert len({node[key] for node in workflow["nodes"]}) == len(workflow["nodes"])


def test_nodes_with_a_webhook_have_its_id(workflow: JSON) -> None:
    for node in workflow["nodes"]:
        if node["type"].endswith((".wait", ".webhook", ".mcpTrigger")):
            assert node["webhookId"]


def test_the_connections_reach_all_nodes_from_the_triggers(workflow: JSON) -> None:
    names = {node["name"] for node in workflow["nodes"]}
    assert workflow["connections"].keys() <= names
    reached = {node["name"] for node in workflow["nodes"] if node["type"] in TRIGGERS}
    ids = {shipped_workflow(name)["id"]: number for name, number in SEVERAL_TRIGGERS.items()}
    assert len(reached) == ids.get(workflow["id"], 1)
    while more := set().union(*(targets(workflow, name) for name in reached)) - reached:
        reached |= more
    tools = {name for name, kinds in workflow["connections"].items() if "ai_tool" in kinds}
    notes = {node["name"] for node in workflow["nodes"] if node["type"] == STICKY_NOTE}
    assert reached == names - notes - tools


def test_a_sticky_note_says_what_to_set(workflow: JSON) -> None:
    (note,) = (node for node in workflow["nodes"] if node["type"] == STICKY_NOTE)
    text = note["parameters"]["content"]
    names = {node["name"] for node in workflow["nodes"]}
    if names & {"Clinic", "MCP Server Trigger"}:
        assert "X-Callback-Key" in text
        assert "data table" in text
        return
    assert "X-API-Key" in text
    assert re.search("idempotency.key", text, re.IGNORECASE)
    if names & {"Until it ended", "Gateway calls"}:
        assert "CALLBACK_HEADER" in text
    if names & {"Call", "Settings"}:
        assert "gateway_url" in text


def test_the_shipped_list_has_the_columns_that_the_workflow_writes() -> None:
    """As the first number is written n8n takes the column for texts, which keeps the `+`."""
    header, first, *_ = csv.reader((WORKFLOWS / "call-list.csv").read_text().splitlines())
    workflow = shipped_workflow(CALL_LIST)
    for name in ("Claim", "Write response", "Write outcome"):
        columns = node_of(workflow, name)["parameters"]["columns"]
        assert list(columns["value"]) == [c["id"] for c in columns["schema"]] == header[2:]
    assert header[:2] == ["destination", "name"]
    with pytest.raises(ValueError, match="could not convert"):
        float(first[0])


def test_a_workflow_contains_no_credentials_and_no_secrets(workflow: JSON) -> None:
    for node in workflow["nodes"]:
        assert "credentials" not in node
        headers = node["parameters"].get("headerParameters", {"parameters": []})["parameters"]
        assert {header["name"] for header in headers} <= {"Idempotency-Key"}
        if node["type"] != STICKY_NOTE:
            text = json.dumps(node["parameters"]).lower()
            assert not [word for word in ("secret", "bearer", "password", "token") if word in text]
    assert not workflow.get("pinData")
