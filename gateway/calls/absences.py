"""Who has left a call that has not ended by it yet. Pure."""

from dataclasses import dataclass

from gateway.calls.reasons import DisconnectionReason


@dataclass(frozen=True, slots=True)
class AgentAbsence:
    """The agent left the call `at` (ms since epoch): its job's id, why it left, and details."""

    at: int
    job_id: str = ""
    reason: DisconnectionReason | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CallerAbsence:
    """The caller's leg left the room `at` (ms since epoch), why, and details.

    `may_return`: LiveKit may have listed it again meanwhile.
    """

    at: int
    reason: DisconnectionReason
    detail: str = ""
    may_return: bool = False
