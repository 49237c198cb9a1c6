"""Checks verbs and hooks by Jambonz 11's JSON Schemas, which the vendor's Python SDK carries.

The schemas are loaded here because the SDK's `JambonzValidator` does not check hooks, and accepts
verbs with unknown properties: a Jambonz feature server rejects an answer that has one.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from gateway.jambonz import urls

#: The schema of what Jambonz posts to each hook of the gateway.
HOOK_SCHEMAS = {
    urls.CALL_HOOK: "callbacks/session-new",
    urls.CALL_STATUS_HOOK: "callbacks/call-status",
    urls.DIAL_ACTION: "callbacks/dial",
    urls.TRANSFER_ACTION: "callbacks/dial",
    urls.REFER_HOOK: "callbacks/dial-refer",
    # Jambonz 11 has no schema for the confirm hook, which has what all hooks have.
    urls.CONFIRM_HOOK: "callbacks/base",
    urls.CONFIRM_ACTION: "callbacks/gather",
    urls.QUEUE_WAIT: "callbacks/enqueue-wait",
    urls.QUEUE_ACTION: "callbacks/enqueue",
}
_BASE = "https://jambonz.org/schema/"


def assert_valid_verbs(verbs: Any) -> None:
    """`verbs` is an answer that Jambonz accepts: verbs, each valid, at least one."""
    assert isinstance(verbs, list), verbs
    assert verbs, "no verbs"
    for verb in verbs:
        assert _errors(f"verbs/{verb['verb']}", verb) == [], verb


def assert_valid_hook(path: str, payload: Mapping[str, Any]) -> None:
    """`payload` is what Jambonz may post to the hook at `path`."""
    assert _errors(HOOK_SCHEMAS[path], payload) == [], payload


def _errors(name: str, instance: Any) -> list[str]:
    validator = Draft202012Validator({"$ref": _BASE + name}, registry=_registry())
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(instance)]


@cache
def _registry() -> Registry[Any]:
    return Registry().with_resources(
        (schema["$id"], Resource.from_contents(schema)) for schema in _schemas()
    )


def _schemas() -> Iterator[Any]:
    folder = files("jambonz_sdk") / "schema"
    for kind in ("verbs", "components", "callbacks"):
        for path in (folder / kind).iterdir():
            schema = json.loads(path.read_text())
            yield schema if kind == "callbacks" else _without_unknown_properties(schema)


def _without_unknown_properties(schema: Any) -> Any:
    """`schema` with `additionalProperties: false` wherever it lists an object's properties."""
    if isinstance(schema, list):
        return [_without_unknown_properties(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _without_unknown_properties(value) for key, value in schema.items()}
    if strict.get("type") == "object" and "properties" in strict:
        strict.setdefault("additionalProperties", False)
    return strict


def hook_schema(path: str) -> Mapping[str, Any]:
    """The schema of the hook at `path` with the properties of the schemas that it extends."""
    return _merged(_registry().contents(_BASE + HOOK_SCHEMAS[path]))


def _merged(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    bases = [
        _registry().contents(_BASE + "callbacks/" + base["$ref"])
        for base in schema.get("allOf", [])
    ]
    properties = [_merged(base)["properties"] for base in bases] + [schema["properties"]]
    return {**schema, "properties": {k: v for each in properties for k, v in each.items()}}
