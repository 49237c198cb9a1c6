"""`python -m agent.profiles.options_schema` writes the JSON Schema of `session_options`.

The gateway checks dispatches with it. `make docs` stores it for both.
"""

import json
import sys
from typing import Any

from agent.profiles.options import SessionOptions

#: What would mislead: a missing key leaves the profile's value, not the section's default.
_DROPPED = frozenset({"title", "default"})


def options_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) without references, so that each error is at its field."""
    schema = SessionOptions.model_json_schema()
    definitions = schema.pop("$defs")
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**dialect, **_plain(schema, definitions)}


def _plain(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    if reference := schema.get("$ref"):
        schema = definitions[reference.rpartition("/")[2]]
    plain = {key: value for key, value in schema.items() if key not in _DROPPED}
    if properties := plain.get("properties"):
        plain["properties"] = {name: _plain(it, definitions) for name, it in properties.items()}
    if patterns := plain.pop("patternProperties", None):
        ((pattern, value),) = patterns.items()
        plain |= {"propertyNames": {"pattern": pattern}, "additionalProperties": value}
    for key in ("items", "additionalProperties"):
        if isinstance(plain.get(key), dict):
            plain[key] = _plain(plain[key], definitions)
    return {**_alternatives(plain.pop("anyOf", None), definitions), **plain}


def _alternatives(
    members: list[dict[str, Any]] | None, definitions: dict[str, Any]
) -> dict[str, Any]:
    """Several types as one schema: only one of them has conditions."""
    if members is None:
        return {}
    plain = [_plain(it, definitions) for it in members]
    merged = {key: value for it in plain for key, value in it.items()}
    return {**merged, "type": [it["type"] for it in plain]}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(options_schema(), indent=2, ensure_ascii=False) + "\n")
