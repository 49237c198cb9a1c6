"""A language model with a script: it answers what the test says, and records what it was asked."""

import asyncio
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from livekit.agents import llm
from livekit.agents.llm import ChatChunk, ChatContext, ChoiceDelta, FunctionToolCall, Tool
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, APIConnectOptions


@dataclass(frozen=True)
class Use:
    """The model calls a tool."""

    tool: str
    arguments: Mapping[str, object] = field(default_factory=dict)


#: What the model answers one request with; an exception is raised, None is nothing at all.
Reply = str | Use | Exception | Sequence[str | Use] | None


class ScriptedLLM(llm.LLM[Any]):
    """Answers each request by the next of `replies`; once they are used up, "I have no more lines".

    `delay` (s) is how long it thinks. `requests` has the chat of each request, `offered` the names
    of its tools.
    """

    def __init__(self, *replies: Reply, delay: float = 0.0) -> None:
        super().__init__()
        self.replies = list(replies)
        self.delay = delay
        self.requests: list[ChatContext] = []
        self.offered: list[list[str]] = []

    def chat(
        self,
        *,
        chat_ctx: ChatContext,
        tools: list[Tool] | None = None,
        conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS,
        **_: Any,
    ) -> llm.LLMStream:
        self.requests.append(chat_ctx.copy())
        self.offered.append([tool.id for tool in tools or ()])
        reply = self.replies.pop(0) if self.replies else "I have no more lines"
        return _Stream(self, reply, chat_ctx, tools or [], conn_options)


class _Stream(llm.LLMStream):
    _ids = itertools.count()

    def __init__(
        self,
        model: ScriptedLLM,
        reply: Reply,
        chat_ctx: ChatContext,
        tools: list[Tool],
        conn_options: APIConnectOptions,
    ) -> None:
        super().__init__(model, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)
        self._reply = reply
        self._delay = model.delay

    async def _run(self) -> None:
        await asyncio.sleep(self._delay)
        if isinstance(self._reply, Exception):
            raise self._reply
        parts = [self._reply] if isinstance(self._reply, str | Use) else self._reply or []
        for part in parts:
            self._event_ch.send_nowait(ChatChunk(id="1", delta=self._delta(part)))

    def _delta(self, part: str | Use) -> ChoiceDelta:
        if isinstance(part, str):
            return ChoiceDelta(role="assistant", content=part)
        call = FunctionToolCall(
            name=part.tool,
            arguments=json.dumps(dict(part.arguments)),
            call_id=f"use_{next(self._ids)}",
        )
        return ChoiceDelta(role="assistant", tool_calls=[call])
