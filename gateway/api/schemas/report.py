"""The body of the agent worker's reports."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import fields, post_load, validate

from gateway.api.schemas.fields import text
from gateway.api.schemas.requests import RequestSchema
from gateway.calls.call import EventKind

#: What an agent may report; `agent/report.py` has the same list.
REPORTS = (
    EventKind.AGENT_READY,
    EventKind.ANSWERED,
    EventKind.AGENT_ENDED,
    EventKind.AGENT_FAILED,
    EventKind.AGENT_GONE,
)


@dataclass(frozen=True, slots=True)
class AgentReport:
    """A report of the agent worker about the call of its job `job_id`."""

    kind: EventKind
    job_id: str
    detail: str
    report: Mapping[str, object] | None


class AgentReportSchema(RequestSchema):
    event = fields.String(required=True, validate=validate.OneOf(REPORTS))
    job_id = fields.String(required=True, validate=validate.Length(1, 128))
    detail = text()
    report = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> AgentReport:
        kind = EventKind(data["event"])
        return AgentReport(kind, data["job_id"], data["detail"] or "", data["report"])
