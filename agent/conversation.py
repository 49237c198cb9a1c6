"""A conversation, of whichever pipeline, as its job sees it."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Protocol

from livekit.agents import JobContext

from agent.context import CallContext
from agent.ending import Ending
from agent.record import Record
from agent.settings import WorkerSettings

#: Reports that the agent can be heard.
OnReady = Callable[[], Coroutine[Any, Any, None]]

#: Sends the report of a conversation to the gateway; never raises.
SendReport = Callable[[Mapping[str, object]], Coroutine[Any, Any, None]]


class Conversation(Protocol):
    async def talk(self, on_ready: OnReady) -> Ending:
        """Talk until the call is over. `on_ready` runs once the agent's audio is in the room."""

    async def finish(self, send: SendReport) -> None:
        """After the caller has gone: `send` the report, and do what takes longer. Never raises."""


#: Makes the conversation of one job.
NewConversation = Callable[[JobContext, CallContext, Record, WorkerSettings], Conversation]
