"""What a leg and a transfer came to. Pure."""

from dataclasses import dataclass, field

from gateway.calls.open_enum import OpenEnum
from gateway.calls.reasons import DisconnectionReason


@dataclass(frozen=True, slots=True)
class SipOutcome:
    """A final SIP response (RFC 3261 §21): `status` such as 486, and its reason phrase."""

    status: int
    reason: str = ""


class TransferKind(OpenEnum):
    """COLD: the caller leaves the agent for the target. WARM: the target joins them in the room.

    ANNOUNCED: the caller waits at Jambonz while the target hears a summary and accepts or declines;
    declined, the caller comes back to the agent.
    """

    COLD = "cold"
    ANNOUNCED = "announced"
    WARM = "warm"

    @property
    def leaves_agent(self) -> bool:
        """Whether the caller's leg leaves the room for it."""
        return self in {TransferKind.COLD, TransferKind.ANNOUNCED}


@dataclass(frozen=True, slots=True)
class Transfer:
    """The transfer of a call to `target`; timestamps in ms since epoch.

    `sip` is the target's final response (200: it succeeded), None until it is known. `number`
    counts the call's transfers from 1. `refer_sid` is the call_sid of the Jambonz leg whose REFER
    requested the transfer, "" if the request came over HTTP. `identity` is the participant of a
    warm transfer's target. `reason`: why the target did not answer, or accept. `summary` is what
    the target of an announced transfer hears.
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
    summary: str = field(default="", repr=False)

    @property
    def is_open(self) -> bool:
        """Whether its outcome is not known yet."""
        return self.ended_at is None

    @property
    def has_succeeded(self) -> bool:
        return self.sip is not None and self.sip.status == 200


@dataclass(frozen=True, slots=True)
class TransferRequest:
    """The request that alone may transfer a call until `expires_at` (ms since epoch)."""

    id: str
    expires_at: int
    target: str = ""
    kind: TransferKind = TransferKind.COLD
    summary: str = field(default="", repr=False)
