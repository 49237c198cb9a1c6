"""What a leg and a transfer came to. Pure."""

from dataclasses import dataclass

from gateway.calls.open_enum import OpenEnum
from gateway.calls.reasons import DisconnectionReason


@dataclass(frozen=True, slots=True)
class SipOutcome:
    """A final SIP response (RFC 3261 §21): `status` such as 486, and its reason phrase."""

    status: int
    reason: str = ""


class TransferKind(OpenEnum):
    """COLD: the caller leaves the agent for the target. WARM: the target joins them in the room."""

    COLD = "cold"
    WARM = "warm"


@dataclass(frozen=True, slots=True)
class Transfer:
    """The transfer of a call to `target`; timestamps in ms since epoch.

    `sip` is the target's final response (200: it succeeded), None until it is known. `number`
    counts the call's transfers from 1. `refer_sid` is the call_sid of the Jambonz leg whose REFER
    requested the transfer, "" if the request came over HTTP. `identity` is the participant of a
    warm transfer's target. `reason`: why the target did not answer.
    """

    target: str
    started_at: int
    number: int = 1
    refer_sid: str = ""
    ended_at: int | None = None
    sip: SipOutcome | None = None
    kind: TransferKind = TransferKind.COLD
    identity: str = ""
    reason: DisconnectionReason | None = None

    @property
    def is_open(self) -> bool:
        """Whether its outcome is not known yet."""
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """The request that alone may transfer a call until `expires_at` (ms since epoch)."""

    id: str
    expires_at: int
