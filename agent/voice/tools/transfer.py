"""The tool that hands the caller to one of the profile's transfer targets."""

from typing import Any

from jsonschema import Draft202012Validator
from livekit.agents import RunContext, StopResponse, ToolError, function_tool
from livekit.agents.llm import RawFunctionTool

from agent.ending import Ending
from agent.report import TransferKind, TransferRefused
from agent.voice.speech import say
from agent.voice.tools.arguments import check_arguments
from agent.voice.tools.bounds import hold_floor
from agent.voice.transfers import announce, request_transfer
from agent.voice.voice_call import VoiceCall

#: What an announced target hears of the caller at most, in characters.
MAX_SUMMARY = 1000


def transfer_tool(voice: VoiceCall) -> RawFunctionTool[Any, Any]:
    settings = voice.profile.transfer
    schema = _schema(sorted(settings.targets), settings.kind)
    validator = Draft202012Validator(schema["parameters"])

    async def transfer(raw_arguments: dict[str, Any], context: RunContext[Any]) -> str:
        check_arguments(validator, raw_arguments)
        name, summary = raw_arguments["target"], raw_arguments.get("summary", "")
        hold_floor(context)
        voice.is_leaving = True
        try:
            await _transfer(voice, settings.targets[name], summary)
        except TransferRefused as error:
            voice.is_leaving = False
            context.speech_handle.allow_interruptions = True
            raise ToolError(f"the caller is still with you, not with {name}: {error}") from error
        if settings.kind != "warm":
            raise StopResponse  # the caller is on their way
        # The gateway does not end a call whose agent leaves two people talking.
        ending = Ending("the agent has introduced somebody to the caller")
        context.speech_handle.add_done_callback(lambda _: voice.ends.end(ending))
        return f"{name} is in the call now and hears you. Introduce the caller in one sentence."

    return function_tool(transfer, raw_schema=schema)


async def _transfer(voice: VoiceCall, target: str, summary: str) -> None:
    """Raises TransferRefused."""
    settings = voice.profile.transfer
    if settings.text:
        await say(voice, settings.text)
    if settings.kind == "announced":
        await announce(voice, target, summary)
    else:
        await request_transfer(voice, target, settings.kind)


def _schema(names: list[str], kind: TransferKind) -> dict[str, Any]:
    properties: dict[str, object] = {
        "target": {"type": "string", "enum": names, "description": "who the caller needs"}
    }
    if kind == "announced":
        properties["summary"] = {
            "type": "string",
            "maxLength": MAX_SUMMARY,
            "description": "who is calling and why, in one or two sentences for the target's ear",
        }
    return {
        "name": "transfer",
        "description": (
            "Connects the caller with a person, if they ask for one or you cannot help. "
            "Say nothing about it yourself: the caller is told."
        ),
        "parameters": {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        },
    }
