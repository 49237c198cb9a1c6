"""The node package is built, passes n8n's linter for community nodes, and its own tests."""

import json
from itertools import chain

import pytest

from gateway.api.schemas.dispatch import DispatchSchema
from gateway.api.schemas.listing import ListQuerySchema
from gateway.callbacks.events import CallbackEvent
from gateway.calls.call import CallStatus, Direction
from gateway.calls.conversation import ConversationProblem
from gateway.calls.reasons import DisconnectionReason
from tests.n8n_node.package import DIST, FOLDER, JSON, exported, npm_run

NODE = "nodes/JambonzLivekitGateway/"


@pytest.mark.usefixtures("built_package")
def test_build_has_what_package_json_names() -> None:
    package = json.loads((FOLDER / "package.json").read_text())
    files = [FOLDER / file for file in package["n8n"]["nodes"] + package["n8n"]["credentials"]]
    assert [file for file in files if not file.is_file()] == []
    assert {icon.name for icon in DIST.glob("icons/*")} == {"gateway.svg", "gateway.dark.svg"}


@pytest.mark.server
def test_linter_of_community_nodes_passes() -> None:
    assert "warning" not in npm_run("lint")


@pytest.mark.usefixtures("built_package")
def test_own_tests_pass() -> None:
    npm_run("test")


@pytest.mark.usefixtures("built_package")
async def test_parameters_are_those_of_the_api() -> None:
    columns = await exported(f"{NODE}fields.js", "FIELDS")
    assert set(columns) == set(DispatchSchema().fields)
    dispatch = by_name(await exported(f"{NODE}dispatch.properties.js", "dispatchProperties"))
    additional = by_name(dispatch["additionalFields"]["options"])
    assert set(columns) == {*additional, "destination", "account_code", "metadata"}
    assert values(additional["callback_events"]) == set(CallbackEvent)

    listing = by_name(await exported(f"{NODE}calls.properties.js", "callsProperties"))
    filters = by_name(listing["filters"]["options"])
    assert set(filters) == set(ListQuerySchema().fields) - {"include", "limit", "cursor"}
    assert values(filters["disconnection_reason"]) == set(DisconnectionReason)
    assert values(filters["verdict"]) == set(ConversationProblem)
    assert values(filters["status"]) == set(CallStatus)
    assert values(filters["direction"]) == set(Direction)


def test_package_needs_nothing_at_run_time() -> None:
    package = json.loads((FOLDER / "package.json").read_text())
    assert "dependencies" not in package
    assert package["peerDependencies"] == {"n8n-workflow": "*"}


def test_lock_leaves_out_what_no_tool_of_the_package_needs() -> None:
    """n8n-node lists a library of 700 MB for nodes that are AI models; the lock has no part of it.

    It names no host either, so npm installs from the registry that it is configured for.
    """
    packages = json.loads((FOLDER / "package-lock.json").read_text())["packages"]
    assert "dependencies" not in packages["node_modules/@n8n/ai-node-sdk"]
    assert not any("langchain" in name for name in packages)
    assert "resolved" not in chain.from_iterable(packages.values())


def by_name(properties: list[JSON]) -> dict[str, JSON]:
    return {field["name"]: field for field in properties}


def values(field: JSON) -> set[str]:
    return {option["value"] for option in field["options"]}
