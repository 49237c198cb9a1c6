"""The order in which the model is told what was said and done."""

from livekit.agents.llm import ChatItem, ChatMessage, FunctionCall, FunctionCallOutput

from agent.voice.voice_agent import spoken_first


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", content=[text])


def agent(text: str) -> ChatMessage:
    return ChatMessage(role="assistant", content=[text])


def call(call_id: str) -> FunctionCall:
    return FunctionCall(call_id=call_id, name="look", arguments="{}")


def output(call_id: str) -> FunctionCallOutput:
    return FunctionCallOutput(call_id=call_id, output="so", is_error=False)


def order(*items: ChatItem) -> list[int]:
    return [items.index(it) for it in spoken_first(items)]


def test_what_was_said_during_a_tool_stands_before_its_call() -> None:
    assert order(user("?"), call("a"), agent("wait"), output("a"), agent("so")) == [0, 2, 1, 3, 4]
    two = (call("a"), agent("wait"), call("b"), agent("still"), output("a"), output("b"))
    assert order(*two) == [1, 3, 0, 2, 4, 5]
    after = (call("a"), output("a"), call("b"), agent("wait"), output("b"))
    assert order(*after) == [0, 1, 3, 2, 4]


def test_all_else_keeps_its_place() -> None:
    talk = (user("?"), agent("let me see"), call("a"), user("hurry"), output("a"), agent("so"))
    assert order(*talk) == list(range(6))
    unanswered = (call("a"), agent("hello"), user("?"))
    assert order(*unanswered) == [0, 1, 2]
