"""What a scripted language model answers. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Fault(StrEnum):
    """How a model fails."""

    RESET = "reset"  #: the connection ends without a response
    HANG = "hang"  #: no response ever
    UNAUTHORIZED = "unauthorized"  #: 401: the key is wrong
    QUOTA = "quota"  #: 429: the account has no money left
    ERROR = "error"  #: 500
    CUT = "cut"  #: the connection ends in the middle of the response
    GARBAGE = "garbage"  #: 200 with a web page
    EMPTY = "empty"  #: a response without words, or without audio


@dataclass(frozen=True)
class Rule:
    """An answer, and when it is given.

    `pattern` is searched in the last message, without regard to case; that must be by `role`: user
    (what the recognizer heard), tool (its result), system or developer. The answer is to `say`
    something, to `call` a tool with `arguments`, or to `fail`. A tool is called only if the request
    offers it.
    """

    pattern: str
    say: str = ""
    call: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    fail: Fault | None = None
    role: str = "user"


@dataclass(frozen=True)
class Script:
    """The first rule that matches counts; without one the answer is to say `otherwise`."""

    rules: Sequence[Rule] = ()
    otherwise: str = "Pardon, I did not understand that."

    def answer(self, request: Mapping[str, Any]) -> Rule:
        """The answer to the body of a request for a chat completion."""
        role, text = _last_message(request["messages"])
        offered = {tool["function"]["name"] for tool in request.get("tools") or ()}
        choice = request.get("tool_choice")
        if isinstance(choice, dict):
            offered &= {choice["function"]["name"]}
        for rule in self.rules:
            if rule.call and (rule.call not in offered or choice == "none"):
                continue
            if not rule.call and (choice == "required" or isinstance(choice, dict)):
                continue
            if rule.role == role and re.search(rule.pattern, text, re.IGNORECASE):
                return rule
        return Rule("", self.otherwise)


def _last_message(messages: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Its role and text."""
    if not messages:
        return "system", ""
    content = messages[-1].get("content") or ""
    if not isinstance(content, str):
        content = " ".join(part.get("text", "") for part in content)
    return messages[-1]["role"], content


def chunks(answer: Rule, request: Mapping[str, Any]) -> list[str]:
    """The answer as the events of a streamed chat completion (server-sent events)."""
    if answer.call:
        call = {"index": 0, **_tool_call(answer, request)}
        deltas: list[dict[str, Any]] = [{"tool_calls": [call]}]
    else:
        deltas = [{"content": word} for word in re.findall(r"\s*\S+", answer.say)]
    choices = [
        *({"index": 0, "delta": {"role": "assistant", **delta}} for delta in deltas),
        {"index": 0, "delta": {}, "finish_reason": _finish(answer)},
    ]
    model = request.get("model", "")
    chunk = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 0}
    events = [{**chunk, "model": model, "choices": [choice]} for choice in choices]
    usage = _usage(request, said=len(deltas))
    events.append({**chunk, "model": model, "choices": [], "usage": usage})
    return [f"data: {json.dumps(event)}\n\n" for event in events] + ["data: [DONE]\n\n"]


def completion(answer: Rule, request: Mapping[str, Any]) -> str:
    """The answer as a chat completion that is not streamed (JSON)."""
    calls = {"tool_calls": [_tool_call(answer, request)]}
    content = calls if answer.call else {"content": answer.say}
    message = {"role": "assistant", "content": None, **content}
    result = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": request.get("model", ""),
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(answer)}],
        "usage": _usage(request, said=len(answer.say.split()) or 1),
    }
    return json.dumps(result)


def _tool_call(answer: Rule, request: Mapping[str, Any]) -> dict[str, Any]:
    """Its id is no other call's in the same conversation."""
    function = {"name": answer.call, "arguments": json.dumps(answer.arguments)}
    call_id = f"call_{answer.call}_{len(request['messages'])}"
    return {"id": call_id, "type": "function", "function": function}


def _finish(answer: Rule) -> str:
    return "tool_calls" if answer.call else "stop"


def _usage(request: Mapping[str, Any], *, said: int) -> dict[str, int]:
    told = sum(len(str(message.get("content"))) for message in request["messages"]) // 4
    return {"prompt_tokens": told, "completion_tokens": said, "total_tokens": told + said}
