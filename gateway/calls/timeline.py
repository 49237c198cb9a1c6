"""What a call's timeline says about it. Pure."""

from gateway.calls.call import Call, EventKind

#: How the detail of FALLBACK begins where the caller is refused instead.
NO_TARGET_LEFT = "no target left"


def talking_since(call: Call) -> int | None:
    """The later of caller and agent joining the room (ms since epoch), None unless both have."""
    caller = first_at(call, EventKind.CALLER_JOINED)
    agent = first_at(call, EventKind.AGENT_JOINED)
    return None if caller is None or agent is None else max(caller, agent)


def first_at(call: Call, kind: EventKind) -> int | None:
    """When an event of this kind happened first, None if it has not."""
    return next((entry.at for entry in call.timeline if entry.event is kind), None)
