"""How a caller is brought to the agent: the interface of both ways. No I/O here."""

from typing import Protocol

from gateway.calls.call import Call, Event
from gateway.jambonz.verbs import Verbs


class Strategy(Protocol):
    async def prepare(self, call: Call) -> Event:
        """Have LiveKit get ready for the call; what came of that. Raises nothing."""

    def connect(self, call: Call) -> Verbs:
        """What Jambonz is to do with the caller. The same again for a repeated hook."""
