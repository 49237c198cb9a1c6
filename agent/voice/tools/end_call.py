"""The tool by which the agent ends the call, once the goodbye has been heard."""

import asyncio
from typing import Any

from livekit.agents import FunctionTool, RunContext, function_tool

from agent.ending import Ending
from agent.voice.tools.bounds import hold_floor
from agent.voice.voice_call import VoiceCall

ENDING = Ending("the agent ended the call", "agent_hangup")
#: How long a goodbye may take until the call ends without it, in s.
GOODBYE_TIMEOUT = 20.0


def end_call_tool(voice: VoiceCall) -> FunctionTool[Any, Any]:
    @function_tool(name="end_call")
    async def end_call(context: RunContext[Any]) -> str | None:
        """Hangs up.

        Call it when the conversation is over: the caller has said goodbye, or needs nothing more.
        Not when they pause, ask to wait, or want to be transferred.
        """
        hold_floor(context)
        voice.is_leaving = True
        # What the caller answers to the goodbye asks for no other one.
        voice.session.input.set_audio_enabled(False)
        goodbye = context.speech_handle
        asyncio.get_running_loop().call_later(GOODBYE_TIMEOUT, voice.ends.end, ENDING)
        goodbye.add_done_callback(lambda _: voice.ends.end(ENDING))
        await context.wait_for_playout()
        return None if _has_spoken(context) else "Say goodbye to the caller in one short sentence."

    return end_call


def _has_spoken(context: RunContext[Any]) -> bool:
    """Whether the model has said something with this call; before another tool does not count."""
    items, called = context.speech_handle.chat_items, context.function_call.created_at
    outputs = (it.created_at for it in items if it.type == "function_call_output")
    # A tool that was called together with this one comes later.
    before = max((at for at in outputs if at < called), default=0.0)
    return any(it.type == "message" and it.created_at > before for it in items)
