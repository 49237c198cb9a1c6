"""The interface of the two strategies that connect a caller with an agent. No I/O."""

from typing import Protocol

from gateway.calls.call import Call, Event
from gateway.jambonz.verbs import Verbs


class Strategy(Protocol):
    """inbound.strategy: RoomStrategy or ParticipantStrategy."""

    async def prepare(self, call: Call) -> Event:
        """Have LiveKit create the room and dispatch the agent; failures are returned too."""

    def connect(self, call: Call) -> Verbs:
        """The verbs that connect the caller; the same for a repeated hook."""
