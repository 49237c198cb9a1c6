"""Jambonz 11's JSON Schemas, from the vendor's Python SDK: of verbs, and of what hooks post."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jambonz_sdk.validator import JambonzValidator
from jsonschema import Draft202012Validator

#: The schema of what Jambonz posts to each of our hooks.
HOOK_SCHEMAS = {
    "/livekit-api": "session-new",
    "/livekit-api/call-status": "call-status",
    "/livekit-api/dial-action": "dial",
    "/livekit-api/transfer-action": "dial",
    "/livekit-api/refer": "dial-refer",
    "/livekit-api/queue-wait": "enqueue-wait",
    "/livekit-api/queue-action": "enqueue",
}


class Schemas(JambonzValidator):
    """The SDK's validator, which also checks the payload of a callback."""

    def validate_callback(self, name: str, payload: Mapping[str, Any]) -> list[str]:
        """Error messages, none if the payload is valid."""
        schema = self._store[f"https://jambonz.org/schema/callbacks/{name}"]
        validator = Draft202012Validator(schema, registry=self._registry)
        return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(payload)]


@cache
def _schemas() -> Schemas:
    return Schemas()


def assert_valid_verbs(verbs: Any) -> None:
    """`verbs` is an answer that Jambonz takes: a list of verbs, with no unknown property."""
    assert verbs, "no verbs"
    assert _schemas().validate_app(verbs) == []


def hook_errors(path: str, payload: Mapping[str, Any]) -> list[str]:
    """What is wrong with the payload of the hook at `path`."""
    return _schemas().validate_callback(HOOK_SCHEMAS[path], payload)
