"""What a profile's fields say together: mistakes that no field shows alone."""

import difflib
import re
import wave
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from agent.profiles import routing
from agent.profiles.hosts import HostPolicy
from agent.profiles.plain_yaml import Problems, at
from agent.profiles.profile import (
    AgentsFile,
    BuiltInTool,
    HttpTool,
    McpServer,
    Profile,
    PythonTool,
    Route,
    Tool,
)
from agent.profiles.variables import (
    METADATA,
    STANDARD,
    is_variable,
    malformed,
    references,
    without_variables,
)

#: Sounds that livekit-agents brings.
CLIPS = (
    "city-ambience",
    "forest-ambience",
    "office-ambience",
    "crowded-room",
    "keyboard-typing",
    "keyboard-typing2",
    "hold_music",
)
#: A number, a SIP URI, or a variable that becomes one.
_TARGET = re.compile(r"\+?[0-9][0-9 ()./-]*|(?:sips?|tel):[^\s<>]+|.*\{\{.*\}\}.*")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


#: The key, below the profile, and the text of a problem.
Found = Iterator[tuple[str, str]]


def profile_problems(profile: Profile, hosts: HostPolicy) -> Found:
    """What is wrong with a profile on its own."""
    for key in malformed(profile):
        yield key, "{{ begins no variable: write {{name}} or {{name|default}}"
    for check in (_models, _tools, _recording, _people, _turns, _analysis):
        yield from check(profile)
    yield from _requests(profile, hosts)


def route_problems(routes: Sequence[Route], names: Collection[str], problems: Problems) -> None:
    """Add what is wrong with the routes to the profiles `names`."""
    for index, it in enumerate(routes):
        where = at("routes", index)
        if it.profile not in names:
            problems.add(f"{where}.profile", no_such(it.profile, names))
        covering = (j for j in range(index) if routing.covers(routes[j], it))
        if (earlier := next(covering, None)) is not None:
            problems.add(where, f"never matches: routes[{earlier}] takes all its calls")
    takes_all = Route(profile=routing.DEFAULT)
    if routing.DEFAULT not in names and not any(routing.covers(it, takes_all) for it in routes):
        problems.add(
            at("profiles", routing.DEFAULT),
            "is missing: it gets the calls that no route matches",
        )


def no_such(profile: str, names: Collection[str]) -> str:
    """Without the name that is not there: a variable of the environment may be in it."""
    close = difflib.get_close_matches(profile, names, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"there are: {', '.join(names)}"
    return f"there is no such profile; {hint}"


def warnings(agents: AgentsFile) -> list[str]:
    """A line for each variable that nothing in the file fills: only a call can bring it.

    Calls bring variables in `metadata` and `session_options` of the dispatch, or by the lookup.
    """
    lines = Problems()
    for name, profile in agents.profiles.items():
        known = (*profile.variables, *STANDARD, *METADATA)
        for path, variable, default in references(profile, at("profiles", name)):
            if default is None and variable not in known:
                close = difflib.get_close_matches(variable, known, n=1, cutoff=0.8)
                hint = f'; did you mean "{close[0]}"?' if close else ""
                lines.add(path, f"{{{{{variable}}}}} is empty in calls that do not bring it{hint}")
    return lines.lines()


def turn_model_users(agents: AgentsFile) -> list[str]:
    """The profiles that use the model of livekit-agents' turn detector."""
    return [
        name
        for name, profile in agents.profiles.items()
        if profile.realtime is None and profile.turn_handling.detection == "model"
    ]


def _models(profile: Profile) -> Found:
    if profile.realtime is not None:
        for name in ("stt", "tts"):
            if getattr(profile, name) != "auto":
                yield name, "is not used beside realtime: leave one of them out, or set it to auto"


def _tools(profile: Profile) -> Found:
    seen: dict[str, int] = {}
    for index, tool in enumerate(profile.tools):
        key, name = _name_of(tool)
        if name in seen:
            yield f"tools[{index}].{key}", f"is that of tools[{seen[name]}], too"
        seen.setdefault(name, index)
        if isinstance(tool, HttpTool):
            yield from _schema(tool.parameters, f"tools[{index}].parameters")
    has_transfer = any(
        isinstance(it, BuiltInTool) and it.type == "transfer" for it in profile.tools
    )
    if has_transfer and not profile.transfer.targets:
        yield "transfer.targets", "is empty, and the tool transfer needs one: `name: number`"


def _name_of(tool: Tool) -> tuple[str, str]:
    """The key that names a tool, and the name: of all but MCP servers what the model calls it."""
    match tool:
        case HttpTool():
            return "name", tool.name
        case McpServer():
            return "name", f"server {tool.name}"
        case PythonTool():
            return "function", re.split("[:.]", tool.function)[-1]
    return "type", "send_dtmf_events" if tool.type == "send_keys" else tool.type


def file_problems(profile: Profile) -> Found:
    """Files that a profile names and that cannot be used."""
    failure = profile.failure
    for key, file in (("clip", failure.clip), ("wait_clip", failure.wait_clip)):
        if file and (problem := _problem_of_clip(file)):
            yield f"failure.{key}", problem
    for key in ("ambient", "thinking"):
        name = getattr(profile.background, key)
        if name and name not in CLIPS and not Path(name).is_file():
            yield f"background.{key}", f"neither a file nor one of: {', '.join(CLIPS)}"


def _problem_of_clip(file: str) -> str:
    try:
        with wave.open(file, "rb") as clip:
            fits = clip.getnchannels() == 1 and clip.getsampwidth() == 2
    except (OSError, EOFError, wave.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a WAV file"
        return f"cannot be played: {reason}"
    return "" if fits else "must be mono, with 16 bits"


def _recording(profile: Profile) -> Found:
    record = profile.record
    if record.enabled and not (record.folder or record.url):
        yield "record", "needs a folder or a url"


def _people(profile: Profile) -> Found:
    voicemail = profile.voicemail
    if voicemail.action == "leave_message" and not voicemail.message:
        yield "voicemail.message", "is missing, and action: leave_message needs it"
    targets = {f"transfer.targets.{k}": v for k, v in profile.transfer.targets.items()}
    for key, target in {**targets, "failure.transfer": profile.failure.transfer}.items():
        if target is not None and not _TARGET.fullmatch(target):
            yield key, "must be a telephone number, such as +61491570156, or a SIP URI"


def _turns(profile: Profile) -> Found:
    turns = profile.turn_handling
    if turns.max_delay < turns.min_delay:
        yield "turn_handling.max_delay", f"must be at least min_delay, {turns.min_delay:g}"


def _analysis(profile: Profile) -> Found:
    if schema := profile.analysis.custom_analysis_data:
        yield from _schema(schema, "analysis.custom_analysis_data")


def _schema(schema: dict[str, Any], key: str) -> Found:
    """Problems of a JSON Schema (draft 2020-12) of an object."""
    if schema.get("type") != "object":
        yield f"{key}.type", "must be object"
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        where = key
        for step in error.absolute_path:
            where = at(where, step)
        yield where, f"is no JSON Schema: see {error.validator!r} in draft 2020-12"
    yield from _references(schema, key)


def _references(node: Any, key: str) -> Found:
    """References to other documents, which nobody would fetch."""
    if isinstance(node, dict) and not str(node.get("$ref", "#")).startswith("#"):
        yield f"{key}.'$ref'", "must be within the schema: #/$defs/…"
    children = node.items() if isinstance(node, dict) else enumerate(node)
    for step, child in children:
        if isinstance(child, dict | list):
            yield from _references(child, at(key, step))


def _requests(profile: Profile, hosts: HostPolicy) -> Found:
    """Problems of URLs and headers."""
    sections: dict[str, Any] = {
        f"tools[{index}]": tool
        for index, tool in enumerate(profile.tools)
        if isinstance(tool, HttpTool | McpServer)
    }
    if profile.lookup:
        sections["lookup"] = profile.lookup
    for key, section in sections.items():
        for name, value in section.headers.items():
            if not (_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value)):
                yield at(f"{key}.headers", name), "is not a header of HTTP"
    urls = {f"{key}.url": section.url for key, section in sections.items()}
    if profile.record.url:
        urls["record.url"] = profile.record.url
    for key, url in urls.items():
        if problem := _url_problem(url, hosts):
            yield key, problem


def _url_problem(url: str, hosts: HostPolicy) -> str:
    """ "" for one that is nothing but a variable: it is checked before each request."""
    return "" if is_variable(url) else hosts.problem(without_variables(url))
