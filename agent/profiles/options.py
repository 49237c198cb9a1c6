"""What one call changes in the profiles, and the profile that it gets. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ConfigDict, Field, ValidationError

from agent.context import CallContext
from agent.profiles.mistakes import mistakes
from agent.profiles.overlay import overlay
from agent.profiles.plain_yaml import Problems
from agent.profiles.profile import (
    AgentsFile,
    Goodbye,
    Name,
    Profile,
    Section,
    Silence,
    Text,
    TurnHandling,
    Variables,
    Voicemail,
)
from agent.profiles.routing import CallFacts, route
from agent.profiles.variables import fill, standard_variables

S = TypeVar("S", bound=Section)


class SessionOptions(Section):
    """What `session_options` of a dispatch, or a lookup's answer, may change in a profile.

    Models, tools and URLs are not among it: they hold keys and reach into networks.
    """

    profile: Name | None = None
    variables: Variables = Field(default_factory=dict)
    instructions: Text | None = None
    greeting: str | None = None
    language: str | None = None
    voice: str | None = None
    turn_handling: TurnHandling | None = None
    silence: Silence | None = None
    goodbye: Goodbye | None = None
    voicemail: Voicemail | None = None
    keyterms: list[str] | None = None
    pronounce: dict[str, str] | None = None


class LookupAnswer(Section):
    """What a lookup answered; other keys are left alone."""

    model_config = ConfigDict(extra="ignore")

    profile: Name | None = None
    variables: Variables = Field(default_factory=dict)
    session_options: SessionOptions = SessionOptions()


class OptionsInvalid(Exception):
    """A call's options cannot be used; the text names their keys, and no values."""


class UnknownProfile(OptionsInvalid):
    """A call asks for a profile that agents.yaml does not have."""


def read_options(options: Mapping[str, Any]) -> SessionOptions:
    """`session_options` of a dispatch. Raises OptionsInvalid."""
    return _read(SessionOptions, options, "session_options")


def read_lookup(answer: object) -> LookupAnswer:
    """A lookup's answer, as JSON has it. Raises OptionsInvalid."""
    return _read(LookupAnswer, answer, "lookup")


def _profile_name(
    agents: AgentsFile,
    call: CallFacts,
    options: SessionOptions,
    lookup: LookupAnswer | None = None,
) -> str:
    """Which profile a call gets: the options name it, else the lookup, else a route.

    Raises UnknownProfile.
    """
    looked_up = (lookup.session_options.profile or lookup.profile) if lookup else None
    name = options.profile or looked_up or route(agents.routes, call)
    if name not in agents.profiles:
        names = ", ".join(agents.profiles)
        raise UnknownProfile(f"agents.yaml has no profile {name!r}; it has: {names}")
    return name


def resolve(
    agents: AgentsFile,
    call: CallContext,
    facts: CallFacts,
    *,
    lookup: LookupAnswer | None = None,
    now: datetime | None = None,
) -> tuple[str, Profile]:
    """The name of the call's profile, and the call's own version of it.

    What the dispatch says holds, then the lookup, then agents.yaml. All variables are filled in.
    `now` is the worker's local time. Raises OptionsInvalid.
    """
    options = read_options(call.session_options)
    name = _profile_name(agents, facts, options, lookup)
    configured = agents.profiles[name]
    found = lookup or LookupAnswer()
    profile = fill(
        overlay(overlay(configured, found.session_options), options),
        options.variables,
        found.session_options.variables,
        found.variables,
        call.metadata,
        standard_variables(facts, now or datetime.now().astimezone()),
        configured.variables,
    )
    return name, _without_empty_targets(profile)


def _without_empty_targets(profile: Profile) -> Profile:
    """A variable that the call did not bring leaves nobody to transfer to."""
    targets = {name: target for name, target in profile.transfer.targets.items() if target}
    changed: dict[str, object] = {
        "transfer": profile.transfer.model_copy(update={"targets": targets}),
        "failure": profile.failure.model_copy(
            update={"transfer": profile.failure.transfer or None}
        ),
    }
    if not targets:
        changed["tools"] = [tool for tool in profile.tools if tool.type != "transfer"]
    return profile.model_copy(update=changed)


def _read(section: type[S], data: object, path: str) -> S:
    try:
        return section.model_validate(data)
    except ValidationError as error:
        problems = Problems()
        for where, text in mistakes(error, section, path):
            problems.add(where, text)
        raise OptionsInvalid("; ".join(problems.lines())) from None
