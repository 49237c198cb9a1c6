"""Tools that are HTTP requests, as declared in agents.yaml."""

import logging
from typing import Any

from jsonschema import Draft202012Validator
from livekit.agents import RunContext, ToolError, function_tool
from livekit.agents.llm import RawFunctionTool

from agent.context import CallContext
from agent.profiles.profile import HttpTool
from agent.voice.requests import RequestFailed, Requests, call_view
from agent.voice.tools.arguments import check_arguments
from agent.voice.tools.bounds import bounded

logger = logging.getLogger("agent.tools")


def http_tool(tool: HttpTool, call: CallContext, requests: Requests) -> RawFunctionTool[Any, Any]:
    """A tool that POSTs `{"name", "arguments", "call"}` and returns the answer's text."""
    validator = Draft202012Validator(tool.parameters)

    async def post(raw_arguments: dict[str, object], context: RunContext[Any]) -> str:
        check_arguments(validator, raw_arguments)
        content = {"name": tool.name, "arguments": raw_arguments, "call": call_view(call)}
        try:
            async with bounded(context, tool):
                answer = await requests.post(
                    tool.url,
                    content,
                    message_id=f"{call.call_id or 'tool'}-{context.function_call.call_id}",
                    headers=tool.headers,
                    timeout=tool.timeout,
                )
        except (RequestFailed, ToolError) as error:
            logger.warning("tool.failed", extra={"tool": tool.name, "error": str(error)})
            raise ToolError(f"{tool.name} failed: {error}") from error
        return answer or "done, without an answer"

    schema = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    return function_tool(post, raw_schema=schema)
