"""Counts what becomes of calls: what one change of a call adds to them all."""

from gateway.callbacks.delivery import DeliveryStatus
from gateway.callbacks.events import CallbackEvent
from gateway.calls.call import Call, CallStatus, Direction, Event, EventKind
from gateway.calls.change import Change
from gateway.calls.conversation import (
    Conversation,
    ConversationProblem,
    agent_silences,
    conversation_of,
    moments_in,
    turns_in,
)
from gateway.calls.reasons import DisconnectionReason
from gateway.telemetry.metrics import Metrics

#: Verdicts beside ConversationProblem: nothing was wrong; it was not reported.
GOOD, UNKNOWN = "good", "unknown"
VERDICTS = (*ConversationProblem, GOOD, UNKNOWN)
_ALERTING = (
    (CallStatus.ERROR, DisconnectionReason.NO_AGENT),
    (CallStatus.ERROR, DisconnectionReason.AGENT_ERROR),
    (CallStatus.ERROR, DisconnectionReason.CONNECTION_LOST),
    (CallStatus.ERROR, DisconnectionReason.DIAL_FAILED),
    (CallStatus.NOT_CONNECTED, DisconnectionReason.CONCURRENCY_LIMIT_REACHED),
)
_AUDIBLE = frozenset({EventKind.AGENT_AUDIBLE, EventKind.AGENT_READY})
#: What may be counted though the call's status stays.
_COUNTED = _AUDIBLE | {EventKind.AGENT_SILENT, EventKind.REPORT_MISSED, EventKind.AGENT_REPORT}


def new_metrics() -> Metrics:
    """Of one gateway, with what alerts look at.

    Prometheus does not notice the first increase of a series that was not there at 0.
    """
    metrics = Metrics()
    for direction in Direction:
        metrics.calls_registered.labels(direction)
        metrics.calls_answered.labels(direction)
        for status, reason in _ALERTING:
            metrics.calls_ended.labels(direction, status, reason)
    for verdict in VERDICTS:
        metrics.conversations.labels(verdict)
    for event in CallbackEvent:
        metrics.callbacks_ended.labels(event, DeliveryStatus.FAILED)
    return metrics


def count_change(metrics: Metrics, change: Change, event: Event) -> None:
    """Count what `event` has changed: for most events, of which there are many, nothing."""
    before, call = change.before, change.after
    is_same = before and before.call_status is call.call_status and not event.report
    if is_same and event.kind not in _COUNTED:
        return
    direction = call.direction
    if change.answered:
        metrics.calls_answered.labels(direction).inc()
    if event.kind in _AUDIBLE and before and not before.has_seen(*_AUDIBLE):
        waited = (event.at - call.start_timestamp) / 1000
        metrics.agent_ready.labels(direction).observe(max(0.0, waited))
    if before and (event.silence or event.report):
        # The agent and its worker may both tell of one silence, and of its beginning and end.
        more = len(agent_silences(call)) - len(agent_silences(before))
        metrics.silences.inc(max(0, more))
    if change.ended:
        status, reason = call.call_status, call.disconnection_reason or ""
        metrics.calls_ended.labels(direction, status, reason).inc()
        if call.answer_timestamp is not None:
            metrics.call_duration.labels(direction).observe((call.duration_ms or 0) / 1000)
    if change.report_settled and call.answer_timestamp is not None:
        _count_conversation(metrics, call)


def _count_conversation(metrics: Metrics, call: Call) -> None:
    conversation = conversation_of(call)
    is_told = call.report is not None
    verdict = (conversation and conversation.verdict) or (GOOD if is_told else UNKNOWN)
    metrics.conversations.labels(verdict).inc()
    for silence in agent_silences(call):
        metrics.silence.observe(silence.duration_ms / 1000)
    report = call.report or {}
    for turn in turns_in(report):
        metrics.turn.observe(turn.duration_ms / 1000)
    metrics.unanswered.inc(len(list(moments_in(report, "unanswered"))))
    if conversation:
        _count_audio(metrics, conversation)


def _count_audio(metrics: Metrics, conversation: Conversation) -> None:
    if conversation.first_audio_ms is not None:
        metrics.first_audio.observe(conversation.first_audio_ms / 1000)
    for direction in ("from_caller", "to_caller"):
        if packets := getattr(conversation, direction):
            metrics.packets.labels(direction, "received").inc(packets.received)
            metrics.packets.labels(direction, "lost").inc(packets.lost)
