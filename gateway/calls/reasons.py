"""Why a call ended: Retell's disconnection reasons, and the reason that a SIP status means. Pure.

https://docs.retellai.com/reliability/debug-call-disconnect
"""

from collections.abc import Mapping

from gateway.calls.open_enum import OpenEnum


class DisconnectionReason(OpenEnum):
    """Why a call ended, and what brings it about (`description`).

    The names are Retell's; `no_agent`, `agent_error`, `connection_lost` and `gateway_lost` are our
    own, since Retell has none for them.
    """

    description: str

    def __new__(cls, reason: str, description: str = "") -> "DisconnectionReason":
        """`DisconnectionReason("no_agent")` looks a reason up; only members have a description."""
        member = str.__new__(cls, reason)
        member._value_ = reason
        member.description = description
        return member

    USER_HANGUP = "user_hangup", "the caller hung up, or the callee of an outbound call"
    AGENT_HANGUP = "agent_hangup", "the agent ended the call: it left on purpose or closed the room"
    CALL_TRANSFER = (
        "call_transfer",
        "the target of a transfer answered; of a warm transfer, the target hung up first",
    )
    MAX_DURATION_REACHED = (
        "max_duration_reached",
        "the call lasted its `max_call_duration`, or the agent said goodbye shortly before",
    )
    INACTIVITY = "inactivity", "the caller said nothing for too long, and the agent hung up"
    VOICEMAIL_REACHED = "voicemail_reached", "an answering machine took an outbound call"
    DIAL_BUSY = "dial_busy", "the callee is busy: SIP 486 or 600"
    DIAL_FAILED = (
        "dial_failed",
        "the dial failed without a SIP status, or with one that no other reason stands for; or "
        "LiveKit refused the room, or did not answer",
    )
    DIAL_NO_ANSWER = (
        "dial_no_answer",
        "it rang (SIP 180, 183) and nobody answered, or the callee is not reachable now: SIP 480",
    )
    USER_DECLINED = "user_declined", "the callee declined: SIP 603"
    INVALID_DESTINATION = (
        "invalid_destination",
        "there is no such number, or its form is wrong: SIP 404, 410, 414, 416, 484, 485 or 604",
    )
    TELEPHONY_PROVIDER_PERMISSION_DENIED = (
        "telephony_provider_permission_denied",
        "the carrier does not accept the trunk's credentials, the caller ID or the destination: "
        "SIP 401, 402, 403 or 407",
    )
    TELEPHONY_PROVIDER_UNAVAILABLE = (
        "telephony_provider_unavailable",
        "the carrier cannot be reached or failed: SIP 5xx, or no final response and no ringing",
    )
    SIP_ROUTING_ERROR = (
        "sip_routing_error",
        "the INVITE was sent elsewhere, in a loop or over too many hops: SIP 3xx, 482 or 483",
    )
    MARKED_AS_SPAM = "marked_as_spam", "the call was rejected as unwanted: SIP 607 or 608"
    CONCURRENCY_LIMIT_REACHED = (
        "concurrency_limit_reached",
        "`limits.max_active_calls` was reached when the caller arrived",
    )
    REGISTERED_CALL_TIMEOUT = (
        "registered_call_timeout",
        "nobody answered within `inbound.registered_timeout`, and nothing else ended the call",
    )
    NO_AGENT = "no_agent", "no agent joined in time (inbound), or could be heard in time (outbound)"
    AGENT_ERROR = "agent_error", "the agent raised an exception, or its process or connection died"
    CONNECTION_LOST = (
        "connection_lost",
        "the connection between LiveKit and the caller's leg broke, and the leg did not come back",
    )
    GATEWAY_LOST = "gateway_lost", "a gateway that was restarted found the call's room empty"
    MANUAL_STOPPED = "manual_stopped", "an API client ended the call: `POST …/hangup`"


#: RFC 3261 §21, RFC 8197 (607) and RFC 8688 (608). Other statuses: see `reason_of_status()`.
_BY_STATUS: Mapping[int, DisconnectionReason] = {
    **dict.fromkeys((486, 600), DisconnectionReason.DIAL_BUSY),
    480: DisconnectionReason.DIAL_NO_ANSWER,
    603: DisconnectionReason.USER_DECLINED,
    **dict.fromkeys((404, 410, 414, 416, 484, 485, 604), DisconnectionReason.INVALID_DESTINATION),
    **dict.fromkeys((401, 402, 403, 407), DisconnectionReason.TELEPHONY_PROVIDER_PERMISSION_DENIED),
    430: DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE,
    **dict.fromkeys((482, 483), DisconnectionReason.SIP_ROUTING_ERROR),
    **dict.fromkeys((607, 608), DisconnectionReason.MARKED_AS_SPAM),
}
#: The statuses of an INVITE that ended without a final response of the callee: it timed out, or
#: was cancelled when the ringing had lasted too long.
_UNANSWERED = frozenset({408, 487})


def reason_of_status(status: int, *, has_rung: bool) -> DisconnectionReason:
    """Why a leg that was never answered failed, by its final SIP status (300 to 699).

    `has_rung`: a 180 or 183 came before it. DIAL_FAILED where the status says no more.
    """
    if status in _UNANSWERED:
        return no_final_response(has_rung=has_rung)
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    match status // 100:
        case 3:
            return DisconnectionReason.SIP_ROUTING_ERROR
        case 5:
            return DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE
    return DisconnectionReason.DIAL_FAILED


def no_final_response(*, has_rung: bool) -> DisconnectionReason:
    """Why a leg failed that got no final response: only one that rang has a callee who is out."""
    if has_rung:
        return DisconnectionReason.DIAL_NO_ANSWER
    return DisconnectionReason.TELEPHONY_PROVIDER_UNAVAILABLE
