"""pydantic's errors about an agents.yaml in plain words. Pure; no text contains a value."""

import difflib
import re
from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag, ValidationError
from pydantic_core import ErrorDetails

from agent.profiles.plain_yaml import at
from agent.profiles.profile import Section

_TEXTS = {
    "missing": "is missing",
    "string_type": "must be text",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "list_type": "must be a list",
    "dict_type": "must be `key: value` lines",
    "model_type": "must be `key: value` lines",
    "model_attributes_type": "must be `key: value` lines",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_too_long": "must be at most {max_length} characters long",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}
#: What each pattern of a text means.
_PATTERNS = {
    r"^[A-Za-z0-9_-]{1,64}$": "must be letters, digits, - and _, at most 64",
    r"^[a-z0-9-]{1,64}$": "must be the name of a livekit-agents plugin, such as deepgram",
    r"^[\w.]+:[\w.]+$": "must be of the form module:function",
}
_QUOTED = re.compile(r"'([^']*)'")
_MODEL = "must be the name of a model, or `plugin: …` with its arguments"
_MODELS = f"{_MODEL}, or a list of these"


def mistakes(
    error: ValidationError, section: type[Section], path: str = ""
) -> Iterator[tuple[str, str]]:
    """The path and the text of each mistake in what was to be a `section`, at `path`."""
    for details in error.errors(include_url=False, include_context=True, include_input=True):
        keys, annotation = _follow(section, details["loc"])
        where = path
        for key in keys:
            where = at(where, key)
        yield _mistake(details, where, annotation)


def _mistake(details: ErrorDetails, where: str, annotation: Any) -> tuple[str, str]:
    kind, context = details["type"], details.get("ctx", {})
    match kind:
        case "extra_forbidden":
            text = f"unknown key{_suggestion(str(details['loc'][-1]), annotation)}"
        case "literal_error":
            text = f"must be {_choices(_QUOTED.findall(context['expected']))}"
        case "union_tag_invalid" | "union_tag_not_found" if "(plugin)" in _tags(annotation):
            text = _MODELS if "(list)" in _tags(annotation) else _MODEL
        case "union_tag_invalid":
            where, text = f"{where}.type", f"must be {_choices(_tags(annotation))}"
        case "union_tag_not_found":
            where, text = f"{where}.type", f"is missing; it is {_choices(_tags(annotation))}"
        case "string_pattern_mismatch":
            text = _PATTERNS.get(context["pattern"], f"must match {context['pattern']}")
        case _:
            text = _TEXTS.get(kind, details["msg"]).format(**context)
    if details["loc"][-1:] == ("[key]",):
        text = f"the name {text}"
    elif kind == "string_type" and isinstance(details["input"], bool | int | float):
        text += ": put it into quotes"
    return where, text


def _follow(section: type[Section], location: Sequence[str | int]) -> tuple[list[str | int], Any]:
    """The keys of a pydantic location, without the names of union members, and what is there.

    For an unknown key that is the section that does not know it.
    """
    keys: list[str | int] = []
    here: Any = section
    for key in (it for it in location if it != "[key]"):
        here = _unwrapped(here)
        if isinstance(here, type) and issubclass(here, Section):
            keys.append(key)
            field = here.model_fields.get(str(key))
            here = field.annotation if field else here
        elif (origin := get_origin(here)) in (dict, list):
            keys.append(key)
            here = get_args(here)[0 if origin is list else 1]
        else:
            here = next((it for it in get_args(here) if key in _tags(it)), here)
    return keys, _unwrapped(here)


def _unwrapped(annotation: Any) -> Any:
    """Without `Annotated` and `| None`."""
    while True:
        members = [it for it in get_args(annotation) if it is not NoneType]
        is_optional = get_origin(annotation) in (Union, UnionType) and len(members) == 1
        if not is_optional and get_origin(annotation) is not Annotated:
            return annotation
        annotation = members[0]


def _tags(annotation: Any) -> list[str]:
    """What tells a union's member from the others; of a union that of each."""
    if get_origin(annotation) is Annotated and (
        tags := [it.tag for it in annotation.__metadata__ if isinstance(it, Tag)]
    ):
        return tags
    annotation = _unwrapped(annotation)
    if isinstance(annotation, type) and issubclass(annotation, Section):
        field = annotation.model_fields.get("type")
        return list(get_args(field.annotation)) if field else []
    return [tag for member in get_args(annotation) for tag in _tags(member)]


def _choices(names: Sequence[str]) -> str:
    return f"one of: {', '.join(names)}" if len(names) > 1 else names[0]


def _suggestion(key: str, section: type[Section]) -> str:
    known = list(section.model_fields)
    close = difflib.get_close_matches(key, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; there are: {', '.join(known)}"
