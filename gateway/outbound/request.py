"""An outbound call as it is asked for. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.calls.destinations import Destination


@dataclass(frozen=True, slots=True)
class OutboundCallRequest:
    """A call to make. `metadata` is for the agent; durations and timeouts in s.

    `wait` is what `dispatch()` waits for before it returns: "none" for nothing, "early" for a dial
    that fails within outbound.early_failure_window, "answer" for the answer or the failure.
    """

    destination: Destination
    metadata: Mapping[str, object]
    account_code: str
    agent_name: str = ""
    caller_id: str = ""
    caller_number: str = ""
    caller_name: str = ""
    session_options: Mapping[str, object] = field(default_factory=dict)
    max_call_duration: int | None = None
    ringing_timeout: int | None = None
    record_call: bool = False
    wait: str = "early"
    callback_url: str = ""
    callback_events: tuple[str, ...] = ()
