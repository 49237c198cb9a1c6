"""agents.yaml to an AgentsFile, or all its problems at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from agent.profiles.checks import Found, no_such, profile_problems, route_problems
from agent.profiles.hosts import HostPolicy
from agent.profiles.mistakes import mistakes
from agent.profiles.overlay import overlay
from agent.profiles.plain_yaml import Problems, at, read_yaml
from agent.profiles.profile import AgentsFile, Profile, Section
from agent.profiles.routing import DEFAULT
from common.allowed_hosts import read_allowed_host

S = TypeVar("S", bound=Section)

#: Finds what is wrong with a profile.
Check = Callable[[Profile], Found]

_MODELS = frozenset({"stt", "llm", "tts", "realtime"})
_HOSTS = "n8n.example.com, *.example.com, n8n:5678, http://n8n or 192.0.2.0/24"

#: In bytes; more is not a configuration.
MAX_FILE = 1024 * 1024


class AgentsFileInvalid(Exception):
    """`problems` has a line for each, with its path in the file. None contains a secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def read_text(path: Path | None) -> str:
    """The file's text, "" without one. Raises AgentsFileInvalid."""
    if path is None:
        return ""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AgentsFileInvalid([f"cannot be read: {error.strerror}"]) from error
    if len(content) > MAX_FILE:
        raise AgentsFileInvalid([f"is larger than {MAX_FILE} bytes"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise AgentsFileInvalid([f"line {line}: not UTF-8"]) from error


def parse_agents(text: str, env: Mapping[str, str], checks: Sequence[Check] = ()) -> AgentsFile:
    """The profiles and routes of a file's text, `extends` resolved; of "" the built-in profile.

    `${NAME}` is read from `env`; `checks` are made of each profile besides. Raises
    AgentsFileInvalid.
    """
    problems = Problems()
    data = read_yaml(text, env, problems)
    if "" in problems:
        raise AgentsFileInvalid(problems.lines())
    given = data.pop("profiles", {})
    agents = _valid(AgentsFile, data, "", problems)
    hosts = _hosts(agents.allowed_hosts if agents else (), problems)
    checks = [lambda it: profile_problems(it, hosts), *checks]
    given = {DEFAULT: {}} if given == {} else given
    profiles = _profiles(given, checks, problems) or {DEFAULT: Profile()}
    if agents:
        route_problems(agents.routes, profiles, problems)
    if problems or not agents:
        raise AgentsFileInvalid(problems.lines())
    return agents.model_copy(update={"profiles": profiles})


def _hosts(allowed_hosts: Sequence[str], problems: Problems) -> HostPolicy:
    allowed = []
    for index, entry in enumerate(allowed_hosts):
        try:
            allowed.append(read_allowed_host(entry))
        except ValueError:
            problems.add(at("allowed_hosts", index), f"must be such as {_HOSTS}")
    return HostPolicy(allowed)


def _profiles(given: Any, checks: Sequence[Check], problems: Problems) -> dict[str, Profile]:
    """The profiles as they are with what they extend. If one has problems, without what has."""
    if not isinstance(given, dict):
        problems.add("profiles", "must be `key: value` lines, each with a profile")
        return {}
    # Their names alone: each profile is checked on its own, so that one does not hide another.
    _valid(AgentsFile, {"profiles": {name: {} for name in given}}, "", problems)
    own = {
        name: _valid_part(content, at("profiles", name), problems)
        for name, content in given.items()
    }
    whole = {}
    for name in own:
        chain = _chain(name, own, problems)
        whole[name] = _extended([own[it][0] for it in chain])
        # A section with a mistake is missing here: what the others say of it follows from that.
        unusable = {key for it in chain for key in own[it][1]}
        if unusable & _MODELS or own[chain[-1]][0].extends:
            unusable.add("models")  # of `auto`, in the place of what is missing
        for key, text in (found for check in checks for found in check(whole[name])):
            if re.split(r"\W", key)[0] not in unusable:
                problems.add(f"{at('profiles', name)}.{key}", text)
    return whole


def _valid_part(content: Any, path: str, problems: Problems) -> tuple[Profile, set[str]]:
    """The profile without its keys that have mistakes, and these keys."""
    try:
        return Profile.model_validate(content), set()
    except ValidationError as error:
        for where, text in mistakes(error, Profile, path):
            problems.add(where, text)
        wrong = {str(it["loc"][0]) for it in error.errors() if it["loc"]}
    rest = {key: it for key, it in content.items() if key not in wrong} if wrong else {}
    return Profile.model_validate(rest), wrong or set(Profile.model_fields)


def _chain(name: str, own: Mapping[str, tuple[Profile, set[str]]], problems: Problems) -> list[str]:
    """The profile and those that it extends, as far as they are there."""
    chain = [name]
    while (parent := own[chain[-1]][0].extends) is not None:
        if parent not in own:
            problems.add(f"{at('profiles', chain[-1])}.extends", no_such(parent, own))
            break
        if parent in chain:
            members = chain[chain.index(parent) :]
            first = next(it for it in own if it in members)
            place = members.index(first)
            others = members[place + 1 :] + members[:place]
            way = f" by way of {', '.join(others)}" if others else ""
            problems.add(at("profiles", first), f"extends itself{way}")
            break
        chain.append(parent)
    return chain


def _extended(chain: Sequence[Profile]) -> Profile:
    whole = reduce(overlay, reversed(chain))
    return whole.model_copy(update={"extends": None})


def _valid(section: type[S], data: Any, path: str, problems: Problems) -> S | None:
    try:
        return section.model_validate(data)
    except ValidationError as error:
        for where, text in mistakes(error, section, path):
            problems.add(where, text)
        return None
