"""Since when the caller waits to hear the agent."""

from agent.voice.waiting import Waiting


def test_the_caller_waits_from_the_end_of_their_words_until_the_agent_speaks() -> None:
    waiting = Waiting()
    assert waiting.since(1, is_playing=False) is None
    waiting.caller_state("speaking", 2)
    assert waiting.since(3, is_playing=False) is None
    waiting.caller_state("listening", 4)
    waiting.caller_said(4.5)
    assert waiting.since(5, is_playing=False) == 4
    waiting.agent_state("thinking", 5)
    assert waiting.since(6, is_playing=False) == 4
    waiting.agent_state("speaking", 7)
    assert waiting.since(7, is_playing=True) is None
    waiting.agent_state("listening", 9)
    assert waiting.since(20, is_playing=False) is None


def test_a_voice_that_breaks_off_leaves_the_caller_waiting() -> None:
    waiting = Waiting()
    waiting.agent_state("speaking", 1)
    waiting.since(3, is_playing=True)
    assert waiting.since(8, is_playing=False) == 3
    waiting.agent_state("listening", 9)
    assert waiting.since(10, is_playing=False) is None


def test_a_model_that_failed_leaves_the_caller_waiting_although_the_agent_listens() -> None:
    waiting = Waiting()
    waiting.caller_said(1)
    waiting.agent_state("thinking", 2)
    waiting.agent_state("listening", 6)
    assert waiting.since(30, is_playing=False) == 1
    waiting.agent_state("speaking", 31)
    waiting.agent_state("listening", 32)
    waiting.owe(33)
    assert waiting.since(40, is_playing=False) == 33


def test_nobody_waits_while_the_caller_speaks_or_the_agent_may_be_silent() -> None:
    waiting = Waiting()
    waiting.owe(1)
    waiting.caller_state("speaking", 2)
    assert waiting.since(9, is_playing=False) is None
    waiting.caller_state("listening", 10)
    assert waiting.since(12, is_playing=False) == 10
    waiting.caller_state("away", 14)
    assert waiting.since(15, is_playing=False) == 10
    waiting.is_excused = True
    assert waiting.since(16, is_playing=False) is None


def test_what_the_caller_says_over_the_agent_asks_for_nothing() -> None:
    waiting = Waiting()
    waiting.agent_state("speaking", 1)
    waiting.caller_said(2)
    waiting.agent_state("listening", 3)
    assert waiting.since(9, is_playing=False) is None
