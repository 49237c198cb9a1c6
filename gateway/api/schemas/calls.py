"""The shapes of calls, in responses and in callbacks."""

from marshmallow import fields

from gateway.api.schemas.fields import about
from gateway.api.schemas.responses import Response, moment
from gateway.callbacks.delivery import DeliveryStatus
from gateway.callbacks.events import CallbackEvent
from gateway.calls.call import CallStatus, Direction, EventKind
from gateway.calls.conversation import SLOW_TURN_FROM, ConversationProblem
from gateway.calls.outcomes import TransferKind
from gateway.calls.participants import ParticipantKind
from gateway.calls.reasons import DisconnectionReason


class SipOutcomeSchema(Response):
    status = fields.Integer()
    reason = fields.String()


class TransferOutcomeSchema(Response):
    kind = fields.Enum(TransferKind, by_value=True)
    target = fields.String()
    started_at = moment()
    ended_at = moment(allow_none=True)
    sip = fields.Nested(SipOutcomeSchema, allow_none=True)
    reason = fields.Enum(
        DisconnectionReason,
        by_value=True,
        allow_none=True,
        metadata=about("why the target did not answer"),
    )


class AgentSilenceSchema(Response):
    at = moment()
    duration_ms = fields.Integer()


class TurnsSchema(Response):
    count = fields.Integer()
    p50_ms = fields.Integer()
    max_ms = fields.Integer()
    slow = fields.Integer(metadata=about(f"how many took {SLOW_TURN_FROM} ms or longer"))


class PacketsSchema(Response):
    received = fields.Integer()
    lost = fields.Integer()


class PacketsByDirectionSchema(Response):
    from_caller = fields.Nested(PacketsSchema, allow_none=True)
    to_caller = fields.Nested(PacketsSchema, allow_none=True)


class ConversationSchema(Response):
    """Was there a conversation? What is null the agent has not reported, or not yet."""

    verdict = fields.Enum(
        ConversationProblem,
        by_value=True,
        allow_none=True,
        metadata=about("the worst of `problems`, null without any"),
    )
    problems = fields.List(fields.Enum(ConversationProblem, by_value=True))
    first_audio_ms = fields.Integer(
        allow_none=True,
        metadata=about("from the answer to the agent's first audio"),
    )
    longest_silence_ms = fields.Integer(metadata=about("of the agent, where it should have spoken"))
    unanswered = fields.Integer(metadata=about("how often the caller spoke and got no answer"))
    turns = fields.Nested(
        TurnsSchema,
        allow_none=True,
        metadata=about("from the end of the caller's speech to the agent's audio"),
    )
    packets = fields.Nested(
        PacketsByDirectionSchema,
        metadata=about("of audio, between LiveKit and the agent"),
    )


class ListedCallSchema(Response):
    call_id = fields.String()
    direction = fields.Enum(Direction, by_value=True)
    call_status = fields.Enum(CallStatus, by_value=True)
    from_number = fields.String()
    to_number = fields.String()
    agent_name = fields.String()
    account_code = fields.String()
    start_timestamp = moment()
    answer_timestamp = moment(allow_none=True)
    end_timestamp = moment(allow_none=True)
    duration_ms = fields.Integer(allow_none=True)
    disconnection_reason = fields.Enum(DisconnectionReason, by_value=True, allow_none=True)
    sip = fields.Nested(SipOutcomeSchema, allow_none=True)
    transfer = fields.Nested(TransferOutcomeSchema, allow_none=True)
    conversation = fields.Nested(
        ConversationSchema,
        allow_none=True,
        metadata=about("null before the answer, and until anything is known of it"),
    )


class CallSummarySchema(ListedCallSchema):
    metadata = fields.Dict(keys=fields.String())
    agent_silences = fields.List(
        fields.Nested(AgentSilenceSchema),
        metadata=about("when the agent was mute though it should not have been"),
    )


class TimelineEntrySchema(Response):
    at = moment()
    event = fields.Enum(EventKind, by_value=True)
    detail = fields.String()


class LegSchema(Response):
    identity = fields.String()
    sip_call_id = fields.String()


class ParticipantSchema(Response):
    identity = fields.String()
    kind = fields.Enum(ParticipantKind, by_value=True)
    joined_at = moment(allow_none=True)
    left_at = moment(allow_none=True)


class DeliverySchema(Response):
    delivery_id = fields.String()
    event = fields.String()
    event_id = fields.String()
    url = fields.String()
    status = fields.Enum(DeliveryStatus, by_value=True)
    attempts = fields.Integer()
    created_at = moment()
    last_attempt_at = moment(allow_none=True)
    last_status = fields.Integer(allow_none=True)
    last_error = fields.String()


class CallWithReportSchema(CallSummarySchema):
    report = fields.Dict(keys=fields.String(), allow_none=True)
    call_analysis = fields.Dict(
        keys=fields.String(),
        allow_none=True,
        metadata=about(
            "Retell's `call_analysis`, as it is in `report`: `call_summary`, "
            "`call_successful`, `user_sentiment`, `in_voicemail`, `custom_analysis_data`"
        ),
    )


class CallSchema(CallWithReportSchema):
    caller_name = fields.String()
    asserted_identity = fields.String()
    diversion = fields.String()
    jambonz = fields.Dict(keys=fields.String(), values=fields.String())
    livekit = fields.Dict(keys=fields.String(), values=fields.String())
    trace_id = fields.String(
        allow_none=True, metadata=about("OpenTelemetry's id of its trace, if it has one")
    )
    caller = fields.Nested(
        LegSchema, allow_none=True, metadata=about("the call's own leg in its room")
    )
    participants = fields.List(
        fields.Nested(ParticipantSchema),
        metadata=about("everybody else who is or was in the room"),
    )
    timeline = fields.List(fields.Nested(TimelineEntrySchema))
    deliveries = fields.List(fields.Nested(DeliverySchema))


class CallbackSchema(Response):
    """The body of a callback; a receiver may get it twice, with the same `event_id`."""

    event = fields.Enum(CallbackEvent, by_value=True)
    event_id = fields.String()
    call = fields.Nested(CallSummarySchema)


class AnalyzedCallbackSchema(Response):
    """The last callback of a call, with the agent's report, null if none arrived."""

    event = fields.Enum(CallbackEvent, by_value=True)
    event_id = fields.String()
    call = fields.Nested(CallWithReportSchema)


class FoundCallSchema(ListedCallSchema):
    idempotency_key = fields.String(
        allow_none=True, metadata=about("the one of the query that has found the call")
    )


class CallsSchema(Response):
    calls = fields.List(fields.Nested(FoundCallSchema))
    active = fields.Integer()
    next_cursor = fields.String(allow_none=True)
    is_complete = fields.Boolean(
        metadata=about("false while the history does not answer: some may be missing")
    )


class DispatchedSchema(Response):
    dispatch_id = fields.String(allow_none=True)
    job_id = fields.String(allow_none=True)
    room = fields.String()
    agent_name = fields.String()
    metadata = fields.Dict(keys=fields.String())
    call_id = fields.String()
    call_status = fields.Enum(CallStatus, by_value=True)
