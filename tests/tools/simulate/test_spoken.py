"""`simulate voice`: a whole conversation, from nothing to the agent's goodbye."""

import itertools
from pathlib import Path
from unittest import mock

import pytest
import yaml

from gateway.tools.dev import stack
from gateway.tools.simulate import spoken
from gateway.tools.simulate.clips import WORDS
from tests.livekit.conftest import livekit_binary
from tests.ports import free_port

__all__ = ["livekit_binary"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command runs its processes; the user has settings of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LIVEKIT_URL", "wss://livekit.example.com")
    monkeypatch.setenv("OPENAI_BASE_URL", "https://models.example.com/v1")
    (tmp_path / "agents.yaml").write_text(yaml.safe_dump(spoken.AGENTS))
    return tmp_path


@pytest.mark.timeout(240)
async def test_a_conversation_is_held_and_printed(livekit_binary: Path, folder: Path) -> None:
    lines: list[spoken.Said | spoken.Ended] = []
    with mock.patch.object(stack, "LIVEKIT_PORT", free_port()):
        await spoken.hold(spoken.KnownWords(), folder / "heard.wav", lines.append)
    said = [line for line in lines if isinstance(line, spoken.Said)]
    expected = [("agent", spoken.GREETING)]
    for turn in spoken.TURNS:
        expected += [("caller", WORDS[turn.clip]), ("agent", turn.answer)]
    # On a busy machine the caller may have to say it again.
    assert [line for line, _ in itertools.groupby((it.who, it.words) for it in said)] == expected
    assert lines[-1].as_text().startswith("\nended: agent_hangup after ")
    assert sum(it.later is not None for it in said) == 5
    assert (folder / "heard.wav").stat().st_size > 1_000_000


def test_a_sentence_as_text_and_as_json() -> None:
    said = spoken.Said(3.14159, "agent", "Nine is free.", later=0.5)
    assert said.as_text() == "   3.14 s  agent   Nine is free.  (0.50 s later)"
    assert said.as_json() == {
        "at_s": 3.14,
        "who": "agent",
        "text": "Nine is free.",
        "later_s": 0.5,
    }


def test_pocketsphinx_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(spoken.__dict__, "sphinx", mock.Mock(side_effect=ImportError))
    recognize, how = spoken._recognizer()
    assert isinstance(recognize, spoken.KnownWords)
    assert "pocketsphinx is not installed" in how


def test_known_words_are_heard_once() -> None:
    recognize = spoken.KnownWords()
    recognize.say = "Yes, please."
    assert [recognize(b"speech"), recognize(b"a cough")] == ["Yes, please.", ""]
