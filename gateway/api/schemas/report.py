"""The body of the agent worker's reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError, fields, post_load, validate, validates_schema

from gateway.api.schemas.fields import text
from gateway.api.schemas.requests import RequestSchema
from gateway.calls.call import EventKind
from gateway.calls.reasons import DisconnectionReason

#: What an agent may report; `agent/report.py` has the same list.
REPORTS = (
    EventKind.AGENT_READY,
    EventKind.ANSWERED,
    EventKind.AGENT_ENDED,
    EventKind.AGENT_FAILED,
    EventKind.AGENT_GONE,
    EventKind.AGENT_REPORT,
)
#: Why an agent ends a call (`Reason` in agent/ending.py).
ENDINGS = (
    DisconnectionReason.AGENT_HANGUP,
    DisconnectionReason.INACTIVITY,
    DisconnectionReason.MAX_DURATION_REACHED,
    DisconnectionReason.VOICEMAIL_REACHED,
    DisconnectionReason.AGENT_ERROR,
)


@dataclass(frozen=True, slots=True)
class AgentReport:
    """A report of the agent worker about the call of its job `job_id`."""

    kind: EventKind
    job_id: str
    detail: str
    reason: DisconnectionReason | None
    report: Mapping[str, object] | None


class AgentReportSchema(RequestSchema):
    event = fields.String(required=True, validate=validate.OneOf(REPORTS))
    job_id = fields.String(required=True, validate=validate.Length(1, 128))
    detail = text()
    disconnection_reason = fields.String(
        load_default=None,
        validate=validate.OneOf(ENDINGS),
        metadata={"description": "with `agent_ended`, before the room is deleted"},
    )
    report = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)

    @validates_schema
    def check_reason(self, data: dict[str, Any], **kwargs: Any) -> None:
        if data["disconnection_reason"] and data["event"] != EventKind.AGENT_ENDED:
            raise ValidationError("Only with agent_ended.", "disconnection_reason")

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> AgentReport:
        kind, reason = EventKind(data["event"]), _reason(data)
        if reason is DisconnectionReason.AGENT_ERROR:
            kind = EventKind.AGENT_FAILED  # it caught the error itself
        return AgentReport(kind, data["job_id"], data["detail"] or "", reason, data["report"])


def _reason(data: Mapping[str, Any]) -> DisconnectionReason | None:
    reason = data["disconnection_reason"]
    return DisconnectionReason(reason) if reason else None
