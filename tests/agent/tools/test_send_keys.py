"""The agent presses keys: for menus, extensions and codes of others."""

from types import SimpleNamespace
from typing import Any

import pytest
from livekit.agents.beta.tools import send_dtmf

from tests.agent.tools.conftest import conversation, turn
from tests.fakes.llm import Use


class Keypad:
    def __init__(self) -> None:
        self.pressed: list[tuple[int, str]] = []

    async def publish_dtmf(self, *, code: int, digit: str) -> None:
        self.pressed.append((code, digit))


async def test_the_model_presses_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    keypad = Keypad()
    room: Any = SimpleNamespace(local_participant=keypad)
    monkeypatch.setattr(send_dtmf, "get_job_context", lambda: SimpleNamespace(room=room))
    monkeypatch.setattr(send_dtmf, "DEFAULT_DTMF_PUBLISH_DELAY", 0.0)
    press = Use("send_dtmf_events", {"events": ["1", "*", "#"]})
    async with conversation({"tools": [{"type": "send_keys"}]}, press, "Done.") as voice:
        await turn(voice, "For appointments, press one.")
    assert keypad.pressed == [(1, "1"), (10, "*"), (11, "#")]
