"""How a conversation ends: who or what ended it, in the gateway's words."""

import asyncio
from dataclasses import dataclass
from typing import Literal

#: The gateway's disconnection reasons that only the agent can know. "" leaves it to the gateway,
#: which sees who left the room.
Reason = Literal[
    "",
    "agent_hangup",
    "inactivity",
    "max_duration_reached",
    "voicemail_reached",
    "agent_error",
]


@dataclass(frozen=True, slots=True)
class Ending:
    """`detail` is for the log and the call's timeline: no numbers, nothing that anybody said."""

    detail: str
    reason: Reason = ""


class Ends:
    """The first ending that anybody asks for; later ones are ignored."""

    def __init__(self) -> None:
        self._first: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()

    def end(self, ending: Ending) -> None:
        """End the conversation. What the agent should still say is to be said before."""
        if not self._first.done():
            self._first.set_result(ending)

    @property
    def has_ended(self) -> bool:
        return self._first.done()

    async def first(self) -> Ending:
        return await asyncio.shield(self._first)
