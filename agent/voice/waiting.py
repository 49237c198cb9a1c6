"""Since when the caller waits to hear the agent. Pure: its methods are the events."""

from dataclasses import dataclass


@dataclass
class Waiting:
    """All times in s, of one clock that does not jump.

    The agent owes the caller words from the end of what they said, or from when it starts to think,
    until it speaks. What it says may break off as well. `is_excused`: it may be silent now, as
    while it listens to an answering machine.
    """

    is_excused: bool = False
    _is_owed: bool = False
    _is_caller_speaking: bool = False
    _agent_state: str = "listening"
    #: When the agent was heard last, the caller stopped, or the debt began; the latest of them.
    _quiet_from: float = 0.0
    #: When the caller stopped speaking, if the agent has not spoken since.
    _stopped_at: float | None = None

    def caller_state(self, state: str, at: float) -> None:
        if self._is_caller_speaking:
            self._quiet_from = self._stopped_at = at
        self._is_caller_speaking = state == "speaking"

    def caller_said(self, at: float) -> None:
        """Words, or speech that was not understood. What they say over the agent is let pass."""
        if self._agent_state != "speaking":
            self.owe(at if self._stopped_at is None else self._stopped_at)

    def owe(self, at: float) -> None:
        """As when the caller has answered, or a model has failed, whatever it was to do."""
        if not self._is_owed:
            self._quiet_from = max(self._quiet_from, at)
        self._is_owed = True

    def agent_state(self, state: str, at: float) -> None:
        if state == "speaking":
            self._is_owed, self._quiet_from, self._stopped_at = False, at, None
        elif state == "thinking":
            self.owe(at)
        self._agent_state = state

    def since(self, now: float, *, is_playing: bool) -> float | None:
        """Since when the caller has waited; None if they do not. `is_playing`: audio goes out."""
        if is_playing or self.is_excused or self._is_caller_speaking:
            self._quiet_from = now
            return None
        is_due = self._is_owed or self._agent_state == "speaking"
        return self._quiet_from if is_due else None
