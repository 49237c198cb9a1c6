"""The tool that hands the caller to a person. The gateway does it: it knows who is allowed."""

import logging
from typing import Any

from jsonschema import Draft202012Validator
from livekit.agents import RunContext, StopResponse, ToolError, function_tool
from livekit.agents.llm import RawFunctionTool

from agent.ending import Ending
from agent.report import Reporter, TransferKind, TransferRefused
from agent.voice.tools.arguments import check_arguments
from agent.voice.voice_call import VoiceCall

logger = logging.getLogger("agent.tools")

#: What an announced target hears of the caller at most, in characters.
MAX_SUMMARY = 1000


def transfer_tool(voice: VoiceCall) -> RawFunctionTool[Any, Any]:
    settings = voice.profile.transfer
    schema = _schema(sorted(settings.targets), settings.kind)
    validator = Draft202012Validator(schema["parameters"])

    async def transfer(raw_arguments: dict[str, Any], context: RunContext[Any]) -> str | None:
        check_arguments(validator, raw_arguments)
        name, summary = raw_arguments["target"], raw_arguments.get("summary", "")
        context.disallow_interruptions()
        if settings.text:
            await voice.session.say(settings.text, allow_interruptions=False)
        try:
            await request_transfer(voice, settings.targets[name], settings.kind, summary)
        except TransferRefused as error:
            raise ToolError(f"the transfer to {name} failed: {error}") from error
        if settings.kind != "warm":
            raise StopResponse  # the caller is on their way
        # The gateway does not end a call whose agent leaves two people talking.
        ending = Ending(f"the agent has connected the caller with {name}")
        context.speech_handle.add_done_callback(lambda _: voice.ends.end(ending))
        return f"{name} is in the call now and hears you. Introduce the caller in one sentence."

    return function_tool(transfer, raw_schema=schema)


async def request_transfer(
    voice: VoiceCall, target: str, kind: TransferKind, summary: str = ""
) -> None:
    """Hand the caller to `target`. Raises TransferRefused, with a reason in plain words."""
    reporter = Reporter(voice.call.report_url, job_id=voice.job.job.id, settings=voice.settings)
    try:
        await reporter.request_transfer(target, kind, summary)
    except TransferRefused as error:
        logger.warning("transfer.refused", extra={"kind": kind, "error": str(error)})
        raise


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
