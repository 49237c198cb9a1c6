"""What a worker's agent does with calls: its pipeline, as the worker sees it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from agent.conversation import NewConversation
from agent.diagnostic import Diagnostic


class Pipeline(Protocol):
    """`imported_late`: modules that libraries would import during a call."""

    new_conversation: NewConversation
    imported_late: Sequence[str]

    def has_turn_model(self) -> bool:
        """Whether calls use livekit-agents' turn detector: 250 MB that all processes share."""

    def facts(self) -> Mapping[str, object]:
        """For the health endpoint, as JSON."""

    async def watch(self) -> None:
        """Runs as long as the worker."""


class DiagnosticPipeline:
    """The line test."""

    new_conversation: NewConversation = Diagnostic
    imported_late: Sequence[str] = ()

    def has_turn_model(self) -> bool:
        return False

    def facts(self) -> Mapping[str, object]:
        return {"pipeline": "diagnostic", "problems": []}

    async def watch(self) -> None:
        pass
