"""Scenarios played with a scripted model: the real session, the real tools of a profile."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from livekit.agents import AgentSession, APIConnectionError
from livekit.agents.types import APIConnectOptions
from livekit.agents.voice.agent_session import SessionConnectOptions

from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import Profile
from agent.record import Record
from agent.scenarios import play as play_module
from agent.scenarios.checks import Check, Happened
from agent.scenarios.play import TurnFailed, play
from agent.scenarios.scenario import Scenario, Turn
from agent.voice.requests import Requests
from agent.voice.tools.available import tools_for
from agent.voice.voice_call import VoiceCall
from common.signing import Signer
from tests.agent.tools.conftest import CALL, SETTINGS
from tests.fakes.llm import Reply, ScriptedLLM, Use

PROFILE: dict[str, Any] = {
    "greeting": "Good day, this is the clinic.",
    "transfer": {"targets": {"front_desk": "+15550142"}, "text": ""},
    "tools": [
        {"type": "end_call"},
        {"type": "transfer"},
        {
            "type": "http",
            "name": "book",
            "description": "Books.",
            # Nobody listens there.
            "url": "http://127.0.0.1:9/book",
        },
    ],
}
ONE_TRY = SessionConnectOptions(llm_conn_options=APIConnectOptions(max_retry=0))

Played = list[tuple[Turn, Happened, list[Check]]]


async def played(
    turns: Sequence[dict[str, Any]],
    *replies: Reply,
    answers: dict[str, Any] | None = None,
    thinks: float = 0.0,
    **profile: Any,
) -> Played:
    scenario = Scenario.model_validate({"turns": list(turns), "answers": answers or {}})
    model, done = ScriptedLLM(*replies, delay=thinks), Played()
    async with AgentSession[None](
        llm=model, vad=None, turn_handling={"turn_detection": None}, conn_options=ONE_TRY
    ) as session:
        job = cast(Any, SimpleNamespace(job=SimpleNamespace(id="AJ_1")))
        whole = Profile.model_validate(PROFILE | profile)
        voice = VoiceCall(job, CALL, SETTINGS, whole, session, Record())
        tools = tools_for(voice, Requests(HostPolicy.reading(["127.0.0.0/8"]), Signer(())))
        await play(scenario, voice, tools, model, lambda *turn: done.append(turn))
    return done


def problems(done: Played) -> list[str]:
    return [check.problem for *_, checks in done for check in checks]


async def test_the_agent_greets_before_the_user_speaks() -> None:
    done = await played([{"user": "Hello."}], "How can I help?")
    assert [(turn.user, happened.said) for turn, happened, _ in done] == [
        (None, "Good day, this is the clinic."),
        ("Hello.", "How can I help?"),
    ]


async def test_a_greeting_by_the_model_can_be_expected() -> None:
    turns = [{"expect": {"says": "moin"}}]
    assert problems(await played(turns, "Moin, here is the clinic.", greeting="")) == [""]


async def test_a_tool_answers_what_the_scenario_says_from_the_turn_on_that_says_it() -> None:
    turns = [
        {"user": "Nine.", "expect": {"calls": {"book": {"slot": "9"}}, "says": "taken"}},
        {
            "user": "Ten.",
            "answers": {"book": "it is yours"},
            "expect": {"calls": {"book": {"slot": "10"}}, "never_says": "taken"},
        },
    ]
    replies = (Use("book", {"slot": "9"}), "It is taken.", Use("book", {"slot": "10"}), "Booked.")
    done = await played(turns, *replies, answers={"book": {"booked": False}})
    assert set(problems(done)) == {""}
    outputs = [call.output for _, happened, _ in done for call in happened.calls]
    assert outputs == ['{"booked": false}', "it is yours"]


async def test_a_tool_without_an_answer_is_really_called() -> None:
    done = await played([{"user": "Nine."}], Use("book"), "It does not work.")
    (call,) = done[-1][1].calls
    assert "book failed: " in call.output


async def test_a_transfer_succeeds_and_ends_the_conversation() -> None:
    turns = [{"user": "A person.", "expect": {"transfers": "front_desk", "ends": ""}}]
    assert problems(await played(turns, Use("transfer", {"target": "front_desk"}))) == ["", ""]


async def test_a_transfer_that_fails_by_its_answer_goes_back_to_the_agent() -> None:
    turns = [{"user": "A person.", "expect": {"says": "sorry", "calls": {"transfer": {}}}}]
    answers = {"transfer": "nobody took the call"}
    replies = (Use("transfer", {"target": "front_desk"}), "I am sorry.")
    done = await played(turns, *replies, answers=answers)
    assert set(problems(done)) == {""}
    assert done[-1][1].ending is None


async def test_the_agent_hangs_up() -> None:
    turns = [{"user": "Goodbye.", "expect": {"ends": "agent_hangup", "says": "bye"}}]
    assert problems(await played(turns, ["Bye.", Use("end_call")])) == ["", ""]


async def test_a_user_who_speaks_after_the_end_is_a_failure() -> None:
    turns = [{"user": "Goodbye."}, {"user": "One more thing!"}]
    with pytest.raises(TurnFailed, match="One more thing!: the call has ended"):
        await played(turns, ["Bye.", Use("end_call")])


@pytest.mark.parametrize(
    ("success", "problem"), [(True, ""), (False, "Judgement failed: it names no time")]
)
async def test_an_intent_is_judged_by_the_model(success: bool, problem: str) -> None:
    verdict = Use("check_intent", {"success": success, "reason": "it names no time"})
    turns = [{"user": "When?", "expect": {"means": "names a time"}}]
    assert problems(await played(turns, "Soon.", verdict)) == [problem]


async def test_an_agent_that_says_nothing_means_nothing() -> None:
    turns = [{"user": "A person.", "expect": {"means": "names a time"}}]
    done = await played(turns, Use("transfer", {"target": "front_desk"}))
    assert problems(done) == ["it said: nothing"]


async def test_a_model_that_fails_is_said() -> None:
    with pytest.raises(TurnFailed, match=r"Hello\.: the model failed: "):
        await played([{"user": "Hello."}], APIConnectionError("refused"))


async def test_a_model_that_hangs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_module, "TURN_LIMIT", 0.2)
    with pytest.raises(TurnFailed, match=r"Hello\.: the agent took more than 0\.2 s"):
        await played([{"user": "Hello."}], "Too late.", thinks=30.0)
