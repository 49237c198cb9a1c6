"""The shapes of the responses and of the callbacks, for the OpenAPI document."""

from typing import Any

from marshmallow import INCLUDE, RAISE, Schema, fields, validate

from gateway.callbacks.delivery import DeliveryStatus
from gateway.callbacks.events import CallbackEvent
from gateway.calls.call import CallStatus, Direction, EventKind
from gateway.calls.conversation import SLOW_TURN_FROM, ConversationProblem
from gateway.calls.outcomes import TransferKind
from gateway.calls.participants import ParticipantKind
from gateway.calls.reasons import DisconnectionReason
from gateway.history.audit import Action
from gateway.history.writer import HistoryState


def _moment(**kwargs: Any) -> fields.Integer:
    return fields.Integer(metadata={"description": "ms since epoch"}, **kwargs)


class _Response(Schema):
    """Every field is present, and no other."""

    class Meta:
        unknown = RAISE

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        field_obj.required = True


class VerbSchema(Schema):
    """One Jambonz verb; its other properties are those of @jambonz/verb-specifications."""

    class Meta:
        unknown = INCLUDE

    verb = fields.String(required=True)


class ApplicationSettingSchema(_Response):
    type = fields.String()
    description = fields.String()
    required = fields.Boolean()


class ApplicationSettingsSchema(_Response):
    AGENT_NAME = fields.Nested(ApplicationSettingSchema)
    ACCOUNT_CODE = fields.Nested(ApplicationSettingSchema)


class SipOutcomeSchema(_Response):
    status = fields.Integer()
    reason = fields.String()


class TransferOutcomeSchema(_Response):
    kind = fields.Enum(TransferKind, by_value=True)
    target = fields.String()
    started_at = _moment()
    ended_at = _moment(allow_none=True)
    sip = fields.Nested(SipOutcomeSchema, allow_none=True)
    reason = fields.Enum(
        DisconnectionReason,
        by_value=True,
        allow_none=True,
        metadata={"description": "why the target did not answer"},
    )


class AgentSilenceSchema(_Response):
    at = _moment()
    duration_ms = fields.Integer()


class TurnsSchema(_Response):
    count = fields.Integer()
    p50_ms = fields.Integer()
    max_ms = fields.Integer()
    slow = fields.Integer(metadata={"description": f"how many took {SLOW_TURN_FROM} ms or longer"})


class PacketsSchema(_Response):
    received = fields.Integer()
    lost = fields.Integer()


class PacketsByDirectionSchema(_Response):
    from_caller = fields.Nested(PacketsSchema, allow_none=True)
    to_caller = fields.Nested(PacketsSchema, allow_none=True)


class ConversationSchema(_Response):
    """Was there a conversation? What is null the agent has not told, or not yet."""

    verdict = fields.Enum(
        ConversationProblem,
        by_value=True,
        allow_none=True,
        metadata={"description": "the worst of `problems`, null without any"},
    )
    problems = fields.List(fields.Enum(ConversationProblem, by_value=True))
    first_audio_ms = fields.Integer(
        allow_none=True,
        metadata={"description": "from the answer to the agent's first audio"},
    )
    longest_silence_ms = fields.Integer(
        metadata={"description": "of the agent, where it should have spoken"}
    )
    unanswered = fields.Integer(
        metadata={"description": "how often the caller spoke and got no answer"}
    )
    turns = fields.Nested(
        TurnsSchema,
        allow_none=True,
        metadata={"description": "from the end of the caller's speech to the agent's audio"},
    )
    packets = fields.Nested(
        PacketsByDirectionSchema,
        metadata={"description": "of audio, between LiveKit and the agent"},
    )


class ListedCallSchema(_Response):
    call_id = fields.String()
    direction = fields.Enum(Direction, by_value=True)
    call_status = fields.Enum(CallStatus, by_value=True)
    from_number = fields.String()
    to_number = fields.String()
    agent_name = fields.String()
    account_code = fields.String()
    start_timestamp = _moment()
    answer_timestamp = _moment(allow_none=True)
    end_timestamp = _moment(allow_none=True)
    duration_ms = fields.Integer(allow_none=True)
    disconnection_reason = fields.Enum(DisconnectionReason, by_value=True, allow_none=True)
    sip = fields.Nested(SipOutcomeSchema, allow_none=True)
    transfer = fields.Nested(TransferOutcomeSchema, allow_none=True)
    conversation = fields.Nested(
        ConversationSchema,
        allow_none=True,
        metadata={"description": "null before the answer, and until anything is known of it"},
    )


class CallSummarySchema(ListedCallSchema):
    metadata = fields.Dict(keys=fields.String())
    agent_silences = fields.List(
        fields.Nested(AgentSilenceSchema),
        metadata={"description": "when the agent was mute though it should not have been"},
    )


class TimelineEntrySchema(_Response):
    at = _moment()
    event = fields.Enum(EventKind, by_value=True)
    detail = fields.String()


class LegSchema(_Response):
    identity = fields.String()
    sip_call_id = fields.String()


class ParticipantSchema(_Response):
    identity = fields.String()
    kind = fields.Enum(ParticipantKind, by_value=True)
    joined_at = _moment(allow_none=True)
    left_at = _moment(allow_none=True)


class DeliverySchema(_Response):
    delivery_id = fields.String()
    event = fields.String()
    event_id = fields.String()
    url = fields.String()
    status = fields.Enum(DeliveryStatus, by_value=True)
    attempts = fields.Integer()
    created_at = _moment()
    last_attempt_at = _moment(allow_none=True)
    last_status = fields.Integer(allow_none=True)
    last_error = fields.String()


class CallWithReportSchema(CallSummarySchema):
    report = fields.Dict(keys=fields.String(), allow_none=True)
    call_analysis = fields.Dict(
        keys=fields.String(),
        allow_none=True,
        metadata={
            "description": "Retell's `call_analysis`, as it is in `report`: `call_summary`, "
            "`call_successful`, `user_sentiment`, `in_voicemail`, `custom_analysis_data`"
        },
    )


class CallSchema(CallWithReportSchema):
    caller_name = fields.String()
    asserted_identity = fields.String()
    diversion = fields.String()
    jambonz = fields.Dict(keys=fields.String(), values=fields.String())
    livekit = fields.Dict(keys=fields.String(), values=fields.String())
    trace_id = fields.String(
        allow_none=True, metadata={"description": "OpenTelemetry's id of its trace, if it has one"}
    )
    caller = fields.Nested(
        LegSchema, allow_none=True, metadata={"description": "the call's own leg in its room"}
    )
    participants = fields.List(
        fields.Nested(ParticipantSchema),
        metadata={"description": "everybody else who is or was in the room"},
    )
    timeline = fields.List(fields.Nested(TimelineEntrySchema))
    deliveries = fields.List(fields.Nested(DeliverySchema))


class CallbackSchema(_Response):
    """The body of a callback; a receiver may get it twice, with the same `event_id`."""

    event = fields.Enum(CallbackEvent, by_value=True)
    event_id = fields.String()
    call = fields.Nested(CallSummarySchema)


class AnalyzedCallbackSchema(_Response):
    """The last callback of a call, with the agent's report, null if none arrived."""

    event = fields.Enum(CallbackEvent, by_value=True)
    event_id = fields.String()
    call = fields.Nested(CallWithReportSchema)


class CallsSchema(_Response):
    calls = fields.List(fields.Nested(ListedCallSchema))
    active = fields.Integer()
    next_cursor = fields.String(allow_none=True)
    is_complete = fields.Boolean(
        metadata={"description": "false while the history does not answer: some may be missing"}
    )


class AuditEntrySchema(_Response):
    at = _moment()
    client = fields.String(metadata={"description": "the API key's name"})
    action = fields.Enum(Action, by_value=True)
    call_id = fields.String(metadata={"description": "empty where it is about no one call"})
    detail = fields.String()


class AuditSchema(_Response):
    entries = fields.List(fields.Nested(AuditEntrySchema))
    next_before = fields.Integer(allow_none=True)


class DeletedSchema(_Response):
    deleted = fields.Integer()
    active = fields.Integer(
        metadata={"description": "calls with that person that have not ended: not deleted"}
    )


class TodaySchema(_Response):
    """Calls since midnight; all but `calls` and `active` is about those that have ended."""

    since = _moment()
    calls = fields.Integer()
    active = fields.Integer()
    ended = fields.Integer()
    answered = fields.Integer()
    reasons = fields.Dict(keys=fields.String(), values=fields.Integer())
    silent = fields.Integer(metadata={"description": "calls in which the caller heard silence"})
    first_audio_p50_ms = fields.Integer(allow_none=True)
    is_complete = fields.Boolean(
        metadata={"description": "false while the history does not answer: some are missing"}
    )


class DispatchedSchema(_Response):
    dispatch_id = fields.String(allow_none=True)
    job_id = fields.String(allow_none=True)
    room = fields.String()
    agent_name = fields.String()
    metadata = fields.Dict(keys=fields.String())
    call_id = fields.String()
    call_status = fields.Enum(CallStatus, by_value=True)


class WebhookCountersSchema(_Response):
    received = fields.Integer()
    last_received_at = _moment(allow_none=True)
    rooms = fields.List(fields.String())


class CounterSchema(_Response):
    count = fields.Integer()
    last_at = _moment(allow_none=True)


class HistorySchema(_Response):
    state = fields.Enum(HistoryState, by_value=True)
    problem = fields.String(metadata={"description": "why nothing is saved now"})
    waiting = fields.Integer(metadata={"description": "ended calls that are not saved yet"})
    lost = fields.Integer(metadata={"description": "ended calls that were not saved"})
    audit_lost = fields.Integer(metadata={"description": "audit entries that only the log has"})


class DiagnosticsSchema(_Response):
    version = fields.String()
    strategy = fields.String()
    livekit_webhooks = fields.Nested(WebhookCountersSchema)
    call_hooks = fields.Integer()
    status_hooks = fields.Nested(CounterSchema)
    legacy_calls = fields.Nested(CounterSchema)
    stray_rooms = fields.Nested(CounterSchema)
    stray_legs = fields.Nested(CounterSchema)
    refused = fields.Dict(keys=fields.String(), values=fields.Integer())
    log_lines_lost = fields.Integer()
    history = fields.Nested(HistorySchema)


class HealthSchema(_Response):
    status = fields.String(validate=validate.Equal("ok"))


class ChecksSchema(_Response):
    livekit = fields.String()
    storage = fields.String()
    draining = fields.String()


class ReadinessSchema(_Response):
    status = fields.String(validate=validate.OneOf(["ok", "not_ready"]))
    checks = fields.Nested(ChecksSchema)


class TwirpSchema(_Response):
    """LiveKit's own error."""

    code = fields.String()
    msg = fields.String()
    meta = fields.Dict(keys=fields.String(), values=fields.String())


class CarrierSchema(_Response):
    status_code = fields.Integer()
    status = fields.String()


class ErrorSchema(Schema):
    """Every error; `twirp` and `sip` come with 502.

    `call_id` is the call that was made before the error, if one was.
    """

    class Meta:
        unknown = RAISE

    error = fields.String(required=True)
    message = fields.String(required=True)
    call_id = fields.String()
    details = fields.Dict(keys=fields.String())
    twirp = fields.Nested(TwirpSchema)
    sip = fields.Nested(CarrierSchema)
