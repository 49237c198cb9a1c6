"""`{{name}}` and `{{name|default}}` in a profile: where they are, and what fills them. Pure."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

from agent.profiles.plain_yaml import at
from agent.profiles.profile import Profile, Section
from agent.profiles.routing import CallFacts

S = TypeVar("S", bound=Section)

#: What every call has: see `standard_variables`.
STANDARD = ("call_id", "direction", "from_number", "to_number", "now", "today")
#: What the gateway puts into a job's metadata where the call has it, besides the dispatch's own.
METADATA = (
    "destination",
    "account_code",
    "transfer_target",
    "caller_id",
    "caller_number",
    "caller_name",
    "asserted_identity",
    "diversion",
    "diversion_reason",
)
#: A longer value is cut: nothing that is said or prompted needs more, in characters.
MAX_VALUE = 20_000

_REFERENCE = re.compile(r"\{\{\s*([A-Za-z0-9_-]{1,64})\s*(?:\|([^{}]*))?\}\}")
#: Control characters could end a header or a SIP URI, and forge lines of the instructions.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
#: What variables are not filled in: how models are reached, schemas, files, and names.
_NOT_FILLED = frozenset(
    {
        "extends",
        "models",
        "stt",
        "llm",
        "tts",
        "realtime",
        "variables",
        "parameters",
        "custom_analysis_data",
        "allowed_tools",
        "background",
        "clip",
    }
)
#: Fields whose values go into URLs, and into the names of files.
_URLS = frozenset({"url"})
_PATHS = frozenset({"folder"})

#: Gets a text, its path and its field's name; returns what takes its place.
Replace = Callable[[str, str, str], str]


def fill(profile: Profile, *sources: Mapping[str, Any]) -> Profile:
    """`profile` with all variables replaced, from the first source that has a value, once.

    A value is taken as it is: a variable in it stays text. In a URL it is percent-encoded, and in
    a folder's name reduced to letters, digits, `-` and `_`, unless the variable is all there is.
    """

    def replace(text: str, _: str, field: str) -> str:
        encode = _ENCODINGS.get(field, _plain)
        if whole := _REFERENCE.fullmatch(text.strip()):
            encode = _plain if field in _URLS else encode
            return encode(_value(whole, sources))
        return _REFERENCE.sub(lambda match: encode(_value(match, sources)), text)

    return mapped(profile, replace)


def standard_variables(call: CallFacts, now: datetime) -> dict[str, str]:
    """Those of STANDARD; `now` is such as "Thursday, 26 November 2026, 14:05"."""
    today = f"{now:%A}, {now.day} {now:%B %Y}"
    return {
        "call_id": call.call_id,
        "direction": call.direction,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "now": f"{today}, {now:%H:%M}",
        "today": today,
    }


def is_variable(text: str) -> bool:
    """Whether `text` is one variable and nothing else."""
    return _REFERENCE.fullmatch(text.strip()) is not None


def without_variables(text: str) -> str:
    """With an `x` in the place of each."""
    return _REFERENCE.sub("x", text)


def references(profile: Profile, path: str = "") -> Iterator[tuple[str, str, str | None]]:
    """The path, name and default (None without one) of each variable in `profile`."""
    for where, text in texts(profile, path):
        for match in _REFERENCE.finditer(text):
            yield where, match[1], match[2]


def malformed(profile: Profile, path: str = "") -> Iterator[str]:
    """The paths of texts with `{{` that does not begin a variable."""
    return (where for where, text in texts(profile, path) if "{{" in _REFERENCE.sub("", text))


def texts(profile: Profile, path: str = "") -> Iterator[tuple[str, str]]:
    """The path and text of everything that variables are filled in."""
    found: list[tuple[str, str]] = []

    def note(text: str, where: str, _: str) -> str:
        found.append((where, text))
        return text

    mapped(profile, note, path)
    return iter(found)


def mapped(section: S, replace: Replace, path: str = "") -> S:
    """`section` with each text that may have variables replaced."""
    fields = type(section).model_fields.keys() - _NOT_FILLED
    changed = {
        name: new
        for name in sorted(fields)
        if (new := _mapped(old := getattr(section, name), replace, at(path, name), name)) != old
    }
    return section.model_copy(update=changed) if changed else section


def _mapped(value: Any, replace: Replace, path: str, field: str) -> Any:
    if isinstance(value, str):
        return replace(value, path, field)
    if isinstance(value, Section):
        return mapped(value, replace, path)
    if isinstance(value, list):
        return [_mapped(it, replace, at(path, i), field) for i, it in enumerate(value)]
    if isinstance(value, dict):
        return {key: _mapped(it, replace, at(path, key), field) for key, it in value.items()}
    return value


def _value(match: re.Match[str], sources: tuple[Mapping[str, Any], ...]) -> str:
    name, default = match[1], match[2] or ""
    value = next((it[name] for it in sources if it.get(name) not in (None, "")), default)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return _CONTROL.sub(" ", text[:MAX_VALUE])


def _plain(text: str) -> str:
    return text


def _for_url(text: str) -> str:
    return quote(text, safe="")


def _for_path(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


_ENCODINGS: Mapping[str, Callable[[str], str]] = {
    **dict.fromkeys(_URLS, _for_url),
    **dict.fromkeys(_PATHS, _for_path),
}
