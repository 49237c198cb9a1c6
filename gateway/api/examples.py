"""Examples of bodies, responses and callbacks, for the OpenAPI document.

Where the gateway makes them they are made of a call by the functions that make them in service.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from gateway.callbacks.delivery import Delivery, DeliveryStatus
from gateway.callbacks.events import CallbackEvent, callback_body
from gateway.calls import spreadsheet
from gateway.calls.call import Call, CallStatus, Direction, EventKind, TimelineEntry
from gateway.calls.outcomes import SipOutcome, Transfer
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.views import details, dispatch_answer, listed
from gateway.history.audit import Action, AuditEntry
from gateway.history.today import Counts, today
from gateway.jambonz import urls
from gateway.jambonz.verbs import announce, hangup, proceed

START = 1_767_225_600_000
DISPATCH: Mapping[str, Any] = {
    "destination": "+61491570156",
    "account_code": "em-tech-01",
    "transfer_target": "+61491570157",
    "caller_number": "+61491570110",
    "caller_name": "Example Support",
    "metadata": {"ticket_id": "INC-1234"},
}
REPORT: Mapping[str, Any] = {
    "pipeline": "voice",
    "transcript": [
        {"at": START + 9_480, "role": "agent", "text": "Hello, how may I help?"},
        {"at": START + 12_900, "role": "user", "text": "A new appointment, please."},
        {"at": START + 15_710, "role": "agent", "text": "Would Monday at nine suit you?"},
    ],
    "turns": [{"at": START + 14_690, "latency_ms": 1_020, "llm_ms": 410, "tts_ms": 180}],
    "unanswered": [],
    "first_audio_ms": 480,
    "longest_silence_ms": 1_020,
    "packets": {
        "from_caller": {"received": 2_970, "lost": 3},
        "to_caller": {"received": 1_120, "lost": 0},
    },
    "call_analysis": {
        "call_summary": "The caller asked for a new appointment, and got one.",
        "call_successful": True,
        "user_sentiment": "Positive",
        "in_voicemail": False,
        "custom_analysis_data": {"appointment": "2026-01-05T09:00"},
    },
}

RINGING = Call(
    call_id="outbound-9f1a2b3c4d",
    direction=Direction.OUTBOUND,
    agent_name="nehos-outbound-agent",
    start_timestamp=START,
    from_number="+61491570110",
    to_number="+61491570156",
    caller_name="Example Support",
    account_code="em-tech-01",
    call_status=CallStatus.RINGING,
    metadata={**{k: v for k, v in DISPATCH.items() if k != "metadata"}, "ticket_id": "INC-1234"},
    livekit={"room_sid": "RM_1", "dispatch_id": "AD_1", "job_id": "AJ_1"},
    timeline=(TimelineEntry(START, EventKind.REGISTERED),),
)
ONGOING = replace(RINGING, call_status=CallStatus.ONGOING, answer_timestamp=START + 9_000)
ENDED = replace(
    ONGOING,
    call_status=CallStatus.ENDED,
    end_timestamp=START + 69_000,
    disconnection_reason=DisconnectionReason.USER_HANGUP,
    report=REPORT,
)
BUSY = replace(
    RINGING,
    call_status=CallStatus.NOT_CONNECTED,
    end_timestamp=START + 4_059,
    disconnection_reason=DisconnectionReason.DIAL_BUSY,
    sip=SipOutcome(486, "Busy Here"),
)
_TRANSFER = Transfer("+61491570157", START + 30_000)
_TRANSFERRED = replace(_TRANSFER, ended_at=START + 39_000, sip=SipOutcome(200, "OK"))

#: The call that each callback is about.
CALLBACKS: Mapping[CallbackEvent, Call] = {
    CallbackEvent.CALL_STARTED: ONGOING,
    CallbackEvent.TRANSFER_STARTED: replace(ONGOING, transfer=_TRANSFER),
    CallbackEvent.TRANSFER_ENDED: replace(ENDED, transfer=_TRANSFERRED),
    CallbackEvent.CALL_ENDED: BUSY,
    CallbackEvent.CALL_ANALYZED: ENDED,
}


def callback_example(event: CallbackEvent) -> Mapping[str, Any]:
    call = CALLBACKS[event]
    return callback_body(call, event, f"evt_{call.call_id}_{event}")


_DELIVERY = Delivery(
    "dlv_outbound-9f1a2b3c4d_call_ended_0a1b2c3d",
    ENDED.call_id,
    CallbackEvent.CALL_ENDED,
    "evt_outbound-9f1a2b3c4d_call_ended",
    "https://n8n.example.com/webhook/calls",
    "",
    START + 69_000,
    DeliveryStatus.DELIVERED,
    attempts=1,
    last_attempt_at=START + 69_050,
    last_status=200,
)
_CALL = {**details(ENDED), "deliveries": [_DELIVERY.view()]}

_LEG = {"call_sid": "3f1c9a52-0000-4000-8000-000000000001", "call_status": "in-progress"}
_CALL_HOOK = {
    "call_sid": _LEG["call_sid"],
    "direction": "inbound",
    "from": "+61491570156",
    "to": "+61491570110",
    "caller_name": "Anna Example",
    "env_vars": {"ACCOUNT_CODE": "em-tech-01"},
}
_ANNOUNCED = {
    "target": "+61491570157",
    "kind": "announced",
    "summary": "Anna Example wants to move her appointment.",
}
_ANNOUNCEMENT = announce(
    _ANNOUNCED["summary"],
    prompt="Press 1 to take the call.",
    action_hook=f"{urls.CONFIRM_ACTION}?call_id=call-1",
)


@dataclass(frozen=True, slots=True)
class Example:
    """An example of an endpoint's body and of its first response; None where it has none."""

    body: Any = None
    answer: Any = None


#: By method and path.
ENDPOINT_EXAMPLES: Mapping[str, Example] = {
    f"POST {urls.CALL_HOOK}": Example(_CALL_HOOK),
    "POST /livekit-simple": Example(_CALL_HOOK),
    f"POST {urls.DIAL_ACTION}": Example(
        {**_LEG, "call_status": "trying", "dial_call_status": "busy", "dial_sip_status": 486},
        [{"verb": "sip:decline", "status": 486, "reason": "Busy Here"}],
    ),
    f"POST {urls.CALL_STATUS_HOOK}": Example({**_LEG, "sip_status": 200, "sip_reason": "OK"}),
    f"POST {urls.REFER_HOOK}": Example(
        {**_LEG, "refer_details": {"sip_refer_to": "<tel:+61491570157>"}}
    ),
    f"POST {urls.TRANSFER_ACTION}": Example(
        {**_LEG, "dial_call_status": "completed", "dial_sip_status": 200}, []
    ),
    f"POST {urls.CONFIRM_HOOK}": Example(_LEG, _ANNOUNCEMENT),
    f"POST {urls.CONFIRM_ACTION}": Example({**_LEG, "digits": "1"}, proceed()),
    f"POST {urls.QUEUE_WAIT}": Example(_LEG, [{"verb": "leave"}]),
    f"POST {urls.QUEUE_ACTION}": Example({**_LEG, "queue_result": "bridged"}, hangup()),
    "POST /dispatch": Example(DISPATCH, dispatch_answer(RINGING)),
    "POST /livekit-api/web-calls": Example(
        {"to_number": "+61491570110", "session_options": {"profile": "clinic"}},
        {
            "call_id": "call-5a0c1c0e-0000-4000-8000-000000000001",
            "server_url": "wss://livekit.example.com",
            "participant_token": "<JWT>",
        },
    ),
    "GET /livekit-api/calls": Example(
        answer={
            "calls": [{**listed(ONGOING), "idempotency_key": None}],
            "active": 1,
            "next_cursor": None,
            "is_complete": True,
        }
    ),
    "GET /livekit-api/today": Example(
        answer=asdict(today(Counts.of([listed(ENDED)]), since=START, active=1, began_today=1))
    ),
    "GET /livekit-api/export.jsonl": Example(answer=json.dumps(_CALL) + "\n"),
    "GET /livekit-api/export.csv": Example(answer=spreadsheet.header() + spreadsheet.line(_CALL)),
    "POST /livekit-api/callers/delete": Example(
        {"number": "+61491570156"}, {"deleted": 3, "active": 0}
    ),
    "GET /livekit-api/audit": Example(
        answer={
            "entries": [asdict(AuditEntry(START, "ops", Action.HANG_UP, ENDED.call_id, ""))],
            "next_before": None,
        }
    ),
    "GET /livekit-api/calls/{call_id}": Example(answer=_CALL),
    "POST /livekit-api/calls/{call_id}/hangup": Example(answer=_CALL),
    "POST /livekit-api/calls/{call_id}/transfer": Example(_ANNOUNCED, _CALL),
    "POST /livekit-api/calls/{call_id}/deliveries/{delivery_id}/retry": Example(
        answer=_DELIVERY.view()
    ),
    "POST /livekit-api/calls/{call_id}/report/transfer": Example(_ANNOUNCED),
    "POST /livekit-api/calls/{call_id}/report": Example(
        {"event": "agent_report", "job_id": "AJ_1", "detail": "", "report": REPORT}
    ),
    "POST /livekit/webhook": Example(
        {
            "event": "participant_joined",
            "id": "EV_1",
            "createdAt": "1767225600",
            "room": {"name": RINGING.call_id, "sid": "RM_1"},
            "participant": {"identity": "agent-AJ_1", "kind": "AGENT"},
        }
    ),
    "GET /healthz": Example(answer={"status": "ok"}),
}
