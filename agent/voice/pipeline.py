"""The pipeline `voice`, as the worker sees it; the processes of jobs inherit what it imports."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

from livekit import local_inference

from agent.agents_file import current_agents, prepare
from agent.conversation import NewConversation
from agent.profiles.checks import turn_model_users
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
    # By the openai SDK with its first requests: the call would stand still for 0.2 s.
    imported_late: Sequence[str] = (
        "anyio._backends._asyncio",
        "openai.resources.audio.audio",
        "openai.resources.chat.completions.completions",
    )

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._problems: list[str] = []
        prepare(settings)

    def has_turn_model(self) -> bool:
        return bool(turn_model_users(current_agents(self._settings)))

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
