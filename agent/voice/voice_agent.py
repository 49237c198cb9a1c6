"""The Agent of a conversation, whose model is told what was said while a tool ran before the call.

In the order of time a filler stands behind the tool's result for the model: as if the caller had
their answer already. Some models refuse a chat that ends with their own words.
"""

from collections.abc import AsyncIterable, Sequence

from livekit.agents import Agent, FlushSentinel, ModelSettings
from livekit.agents.llm import ChatChunk, ChatContext, ChatItem, Tool


class VoiceAgent(Agent):
    def llm_node(
        self, chat_ctx: ChatContext, tools: list[Tool], model_settings: ModelSettings
    ) -> AsyncIterable[ChatChunk | str | FlushSentinel]:
        ordered = ChatContext(spoken_first(chat_ctx.items))
        return Agent.default.llm_node(self, ordered, tools, model_settings)


def spoken_first(items: Sequence[ChatItem]) -> list[ChatItem]:
    """`items`, with what the agent said during tool calls before these."""
    finished = {it.call_id for it in items if it.type == "function_call_output"}
    running: set[str] = set()
    ordered: list[ChatItem] = []
    first_call = 0
    for it in items:
        if it.type == "message" and it.role == "assistant" and running:
            ordered.insert(first_call, it)
            first_call += 1
            continue
        if it.type == "function_call" and it.call_id in finished:
            first_call = first_call if running else len(ordered)
            running.add(it.call_id)
        elif it.type == "function_call_output":
            running.discard(it.call_id)
        ordered.append(it)
    return ordered
