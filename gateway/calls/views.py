"""A call as JSON, for the HTTP API and for callbacks. Pure."""

from collections.abc import Mapping
from typing import Any

from gateway.calls.call import Call
from gateway.calls.conversation import Packets, agent_silences, conversation_of
from gateway.calls.outcomes import SipOutcome, Transfer
from gateway.calls.participants import Leg, Participant
from gateway.calls.silences import AgentSilence


def listed(call: Call) -> dict[str, Any]:
    """A call as `GET /livekit-api/calls` lists it, in little space; times in ms since epoch."""
    return {
        "call_id": call.call_id,
        "direction": call.direction,
        "call_status": call.call_status,
        "from_number": call.from_number,
        "to_number": call.to_number,
        "agent_name": call.agent_name,
        "account_code": call.account_code,
        "start_timestamp": call.start_timestamp,
        "answer_timestamp": call.answer_timestamp,
        "end_timestamp": call.end_timestamp,
        "duration_ms": call.duration_ms,
        "disconnection_reason": call.disconnection_reason,
        "sip": _sip(call.sip),
        "transfer": _transfer(call.transfer),
        "conversation": _conversation(call),
    }


def summary(call: Call) -> dict[str, Any]:
    """A call as callbacks describe it."""
    return {
        **listed(call),
        "metadata": call.metadata,
        "agent_silences": [_silence(it) for it in agent_silences(call)],
    }


def _conversation(call: Call) -> dict[str, Any] | None:
    known = conversation_of(call)
    if known is None:
        return None
    turns = known.turns
    return {
        "verdict": known.verdict,
        "problems": list(known.problems),
        "first_audio_ms": known.first_audio_ms,
        "longest_silence_ms": known.longest_silence_ms,
        "unanswered": known.unanswered,
        "turns": turns
        and {
            "count": turns.count,
            "p50_ms": turns.p50_ms,
            "max_ms": turns.max_ms,
            "slow": turns.slow,
        },
        "packets": {
            "from_caller": _packets(known.from_caller),
            "to_caller": _packets(known.to_caller),
        },
    }


def _packets(packets: Packets | None) -> dict[str, int] | None:
    return {"received": packets.received, "lost": packets.lost} if packets else None


def _silence(silence: AgentSilence) -> dict[str, Any]:
    return {"at": silence.at, "duration_ms": silence.duration_ms}


def _sip(outcome: SipOutcome | None) -> dict[str, Any] | None:
    return {"status": outcome.status, "reason": outcome.reason} if outcome else None


def _transfer(transfer: Transfer | None) -> dict[str, Any] | None:
    if transfer is None:
        return None
    return {
        "kind": transfer.kind,
        "target": transfer.target,
        "started_at": transfer.started_at,
        "ended_at": transfer.ended_at,
        "sip": _sip(transfer.sip),
        "reason": transfer.reason,
    }


def _leg(leg: Leg | None) -> dict[str, Any] | None:
    return {"identity": leg.identity, "sip_call_id": leg.sip_call_id} if leg else None


def _participant(participant: Participant) -> dict[str, Any]:
    return {
        "identity": participant.identity,
        "kind": participant.kind,
        "joined_at": participant.joined_at,
        "left_at": participant.left_at,
    }


def with_report(call: Call) -> dict[str, Any]:
    """The summary, the agent's report, null if none arrived, and its analysis of the call.

    `call_analysis` is where Retell has it, in its own words:
    https://docs.retellai.com/features/post-call-analysis-consumption
    """
    analysis = (call.report or {}).get("call_analysis")
    return {
        **summary(call),
        "report": call.report,
        "call_analysis": analysis if isinstance(analysis, Mapping) else None,
    }


def details(call: Call) -> Mapping[str, Any]:
    """Everything about a call: the summary, the report, ids, people and the timeline."""
    return {
        **with_report(call),
        "caller_name": call.caller_name,
        "asserted_identity": call.asserted_identity,
        "diversion": call.diversion,
        "jambonz": call.jambonz,
        "livekit": call.livekit,
        "trace_id": call.trace_id,
        "caller": _leg(call.caller),
        "participants": [_participant(participant) for participant in call.participants],
        "timeline": [
            {"at": entry.at, "event": entry.event, "detail": entry.detail}
            for entry in call.timeline
        ],
    }


def dispatch_answer(call: Call) -> dict[str, Any]:
    """The answer to a dispatch: the ids by which n8n follows the call, and its state."""
    return {
        "dispatch_id": call.livekit.get("dispatch_id"),
        "job_id": call.livekit.get("job_id"),
        "room": call.call_id,
        "agent_name": call.agent_name,
        "metadata": call.metadata,
        "call_id": call.call_id,
        "call_status": call.call_status,
    }
