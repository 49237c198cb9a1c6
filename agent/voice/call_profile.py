"""The profile of one call: routed, looked up, with its own options and variables."""

import logging
from collections.abc import Mapping
from datetime import datetime

from agent.context import CallContext
from agent.profiles.options import OptionsInvalid, resolve
from agent.profiles.profile import AgentsFile, Profile
from agent.profiles.routing import call_facts
from agent.voice.lookup import look_up
from agent.voice.requests import Requests

logger = logging.getLogger("agent.lookup")


async def profile_of(
    agents: AgentsFile,
    call: CallContext,
    requests: Requests,
    attributes: Mapping[str, str] | None = None,
) -> tuple[str, Profile]:
    """Its name and the profile; takes the lookup's `timeout` at most.

    `attributes` are those of the caller, if they are in the room already. Raises OptionsInvalid.
    """
    facts, now = call_facts(call, attributes), datetime.now().astimezone()
    name, profile = resolve(agents, call, facts, now=now)
    if not (profile.lookup and call.direction == "inbound"):
        return name, profile
    if answer := await look_up(profile.lookup, call, requests):
        try:
            return resolve(agents, call, facts, lookup=answer, now=now)
        except OptionsInvalid as error:
            logger.warning("lookup.failed", extra={"error": str(error)})
    return name, profile
