"""The pipeline `voice`, as the worker sees it; the processes of jobs inherit what it imports."""

import asyncio
import logging
import sys
from collections.abc import Mapping, Sequence

from livekit import local_inference

from agent.agents_file import current_agents, prepare
from agent.conversation import NewConversation
from agent.settings import WorkerSettings
from agent.voice.conversation import VoiceConversation
from agent.voice.tools import available

logger = logging.getLogger("agent.voice")

#: Between two looks at what agents.yaml needs from elsewhere, in s.
CHECK_INTERVAL = 60.0

# The framework does it, too, but only together with the turn detector's model.
local_inference.init_vad()


class VoicePipeline:
    """Conversations by agents.yaml, whose plugins it imports: make it on the main thread."""

    new_conversation: NewConversation = VoiceConversation

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._problems: list[str] = []
        prepare(settings)

    def preloaded(self) -> Sequence[str]:
        """The framework adds the plugins."""
        return [name for name in (__name__, "agent.voice.tools.mcp") if name in sys.modules]

    def has_turn_model(self) -> bool:
        return any(
            profile.realtime is None and profile.turn_handling.detection == "model"
            for profile in current_agents(self._settings).profiles.values()
        )

    def facts(self) -> Mapping[str, object]:
        profiles = sorted(current_agents(self._settings).profiles)
        return {"pipeline": "voice", "profiles": profiles, "problems": self._problems}

    async def watch(self) -> None:
        """Log what becomes unavailable: an MCP server, for instance."""
        while True:
            problems = await available.server_problems(current_agents(self._settings))
            for problem in problems:
                if problem not in self._problems:
                    logger.warning("agents_file.unavailable", extra={"problem": problem})
            self._problems = problems
            await asyncio.sleep(CHECK_INTERVAL)
