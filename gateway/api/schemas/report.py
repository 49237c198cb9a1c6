"""The body of the agent worker's reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from gateway.api.schemas.fields import about, text
from gateway.api.schemas.requests import RequestSchema
from gateway.calls.call import EventKind
from gateway.calls.reasons import DisconnectionReason
from gateway.calls.silences import AgentSilence

#: What an agent may report; `agent/report.py` has the same list.
REPORTS = (
    EventKind.AGENT_READY,
    EventKind.ANSWERED,
    EventKind.AGENT_ENDED,
    EventKind.AGENT_FAILED,
    EventKind.AGENT_GONE,
    EventKind.AGENT_REPORT,
    EventKind.AGENT_SILENT,
)
#: Why an agent ends a call (`Reason` in agent/ending.py).
ENDINGS = (
    DisconnectionReason.AGENT_HANGUP,
    DisconnectionReason.INACTIVITY,
    DisconnectionReason.MAX_DURATION_REACHED,
    DisconnectionReason.VOICEMAIL_REACHED,
    DisconnectionReason.AGENT_ERROR,
)
#: The event that a field belongs to.
_ONLY_WITH = {
    "disconnection_reason": EventKind.AGENT_ENDED,
    "silence": EventKind.AGENT_SILENT,
}


@dataclass(frozen=True, slots=True)
class AgentReport:
    """A report of the agent worker about the call of its job `job_id`."""

    kind: EventKind
    job_id: str
    detail: str
    reason: DisconnectionReason | None
    report: Mapping[str, object] | None
    silence: AgentSilence | None


class _SilenceSchema(RequestSchema):
    at = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(0, 2**53),
        metadata=about("ms since epoch"),
    )
    duration_ms = fields.Integer(required=True, strict=True, validate=validate.Range(1, 86_400_000))

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> AgentSilence:
        return AgentSilence(**data)


class AgentReportSchema(RequestSchema):
    event = fields.String(required=True, validate=validate.OneOf(REPORTS))
    job_id = fields.String(required=True, validate=validate.Length(1, 128))
    detail = text()
    disconnection_reason = fields.String(
        load_default=None,
        validate=validate.OneOf(ENDINGS),
        metadata=about("with `agent_ended`, before the room is deleted"),
    )
    silence = fields.Nested(
        _SilenceSchema,
        load_default=None,
        metadata=about("with `agent_silent`: `at` (ms since epoch) and `duration_ms`"),
    )
    report = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)

    @validates_schema
    def check_event(self, data: dict[str, Any], **kwargs: Any) -> None:
        for name, event in _ONLY_WITH.items():
            if data[name] is not None and data["event"] != event:
                raise ValidationError(f"Only with {event}.", name)
        if data["event"] == EventKind.AGENT_SILENT and data["silence"] is None:
            raise ValidationError("Missing data for required field.", "silence")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> AgentReport:
        kind, reason, silence = EventKind(data["event"]), _reason(data), data["silence"]
        detail = data["detail"] or ""
        if reason is DisconnectionReason.AGENT_ERROR:
            kind = EventKind.AGENT_FAILED  # it caught the error itself
        if silence:
            detail = f"for {silence.duration_ms / 1000:.1f} s{': ' if detail else ''}{detail}"
        return AgentReport(kind, data["job_id"], detail, reason, data["report"], silence)


def _reason(data: Mapping[str, Any]) -> DisconnectionReason | None:
    reason = data["disconnection_reason"]
    return DisconnectionReason(reason) if reason else None
