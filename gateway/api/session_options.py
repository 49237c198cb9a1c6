"""Checks a dispatch's `session_options` for the shipped agent, which would fail with them.

The schema is the agent's: session_options.json is generated from its model.
"""

import json
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from gateway.config.settings import AgentSettings
from gateway.errors import ApiError, ErrorCode

#: A body that is nothing but mistakes has no longer answer.
MAX_PROBLEMS = 100

_SCHEMA = json.loads(files("gateway.api.schemas").joinpath("session_options.json").read_text())
_VALIDATOR = Draft202012Validator(_SCHEMA)
_FIELD = "session_options"
_TYPES = {
    "array": "a list",
    "boolean": "true or false",
    "number": "a number",
    "object": "an object",
    "string": "text",
}
_CONDITIONS = {
    "minimum": "Must be at least {}.",
    "maximum": "Must be at most {}.",
    "minLength": "Must not be empty.",
    "maxLength": "Must be at most {} characters long.",
    "pattern": "Must match {}.",
}


def check_options_of(agent: AgentSettings, name: str, options: Mapping[str, Any]) -> None:
    """As `check_session_options`, for the agent `name`, "" for the usual one.

    Of other agents nobody here knows which options they take.
    """
    if agent.pipeline == "voice" and name in {"", agent.name}:
        check_session_options(options)


def check_session_options(options: Mapping[str, Any]) -> None:
    """Raise ApiError 422 with every field that the agent cannot use, or the first MAX_PROBLEMS."""
    found = (it for error in _VALIDATOR.iter_errors(options) for it in _read(error))
    problems = {(*path,): text for path, text in islice(found, MAX_PROBLEMS)}
    if problems:
        paths = ", ".join(".".join([_FIELD, *path]) for path in problems)
        details: dict[str, Any] = {}
        for path, text in problems.items():
            _put(details, [_FIELD, *path], text)
        raise ApiError(ErrorCode.INVALID, f"cannot use: {paths}", details)


def _read(error: ValidationError) -> Iterator[tuple[list[str], str]]:
    """The path below `session_options` and the text of each field that `error` is about."""
    path = [str(step) for step in error.absolute_path]
    schema: Any = error.schema
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        known = schema["properties"]
        for name in (it for it in instance if it not in known):
            yield [*path, name], f"Unknown field; there are: {', '.join(known)}."
    elif "propertyNames" in error.absolute_schema_path:
        yield [*path, instance], f"Its name must match {schema['pattern']}."
    else:
        yield path, _text(str(error.validator), schema)


def _text(keyword: str, schema: Mapping[str, Any]) -> str:
    """What a value must be that does not conform to the `keyword` of its schema."""
    condition = schema[keyword]
    if keyword == "type":
        types = [condition] if isinstance(condition, str) else condition
        return f"Must be {' or '.join(_TYPES[it] for it in types if it in _TYPES)}."
    if keyword == "enum":
        return f"Must be one of: {', '.join(condition)}."
    return _CONDITIONS[keyword].format(condition)


def _put(details: dict[str, Any], path: list[str], text: str) -> None:
    for step in path[:-1]:
        details = details.setdefault(step, {})
    details[path[-1]] = [text]
