"""Schemas of hooks, of agents' reports and of transfer requests: from JSON to dataclasses.

Unknown fields of Jambonz's hooks are ignored; those of the gateway's own API are rejected.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import EXCLUDE, RAISE, Schema, ValidationError, fields, post_load, validate

from gateway.calls.call import TEXT_LIMIT, EventKind, SipOutcome
from gateway.jambonz.hooks import CallHook, DialHook, QueueHook, ReferHook, StatusHook

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CALL_SID = validate.Length(min=1, max=128)


class Text(fields.Field[str]):
    """Text from outside: control characters are removed, the rest is cut to TEXT_LIMIT.

    So an unusual number or name (`anonymous`, a URI, nothing) never rejects a call.
    """

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("Must be text.")
        return _CONTROL.sub("", value)[:TEXT_LIMIT].strip()


class TextMap(fields.Field[Mapping[str, str]]):
    """An object of short values, such as headers; values that are objects or arrays are dropped."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValidationError("Must be an object.")
        plain = (str, int, float, bool)
        return {
            key: _CONTROL.sub("", str(entry))[:TEXT_LIMIT]
            for key, entry in value.items()
            if isinstance(entry, plain)
        }


class SipHeaders(TextMap):
    """The `headers` of the call hook's `sip` object; the rest of the INVITE is ignored."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Mapping[str, str]:
        if not isinstance(value, dict):
            raise ValidationError("Must be an object.")
        return super()._deserialize(value.get("headers") or {}, *args, **kwargs)


class SipStatus(fields.Field[int | None]):
    """A SIP status, 100 to 699; None for anything else, which never rejects the hook."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int | None:
        digits = str(value)
        number = int(digits) if len(digits) == 3 and digits.isdecimal() else 0
        return number if 100 <= number <= 699 else None


class Seconds(fields.Field[int]):
    """A duration in s, at most a day; 0 for anything else, which never rejects the hook."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        seconds = int(value) if str(value).isdecimal() and len(str(value)) < 7 else 0
        return min(seconds, 86_400)


def text() -> Text:
    return Text(load_default="", allow_none=True)


class _JambonzSchema(Schema):
    class Meta:
        unknown = EXCLUDE


class CallHookSchema(_JambonzSchema):
    """The call hook of jambonz-feature-server 0.9.8."""

    call_sid = fields.String(required=True, validate=_CALL_SID)
    from_number = Text(data_key="from", load_default="", allow_none=True)
    to_number = Text(data_key="to", load_default="", allow_none=True)
    caller_name = text()
    account_sid = text()
    application_sid = text()
    call_id = text()
    originating_sip_trunk_name = text()
    headers = SipHeaders(data_key="sip", load_default=dict, allow_none=True)
    env_vars = TextMap(load_default=dict, allow_none=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> CallHook:
        ids = {
            "account_sid": data["account_sid"],
            "application_sid": data["application_sid"],
            "sip_call_id": data["call_id"],
            "sip_trunk_name": data["originating_sip_trunk_name"],
        }
        return CallHook(
            call_sid=data["call_sid"],
            from_number=data["from_number"] or "",
            to_number=data["to_number"] or "",
            caller_name=data["caller_name"] or "",
            ids={key: value for key, value in ids.items() if value},
            env_vars=data["env_vars"] or {},
            headers=data["headers"] or {},
        )


class _LegSchema(_JambonzSchema):
    """What all later hooks have: the leg and its status."""

    call_sid = fields.String(required=True, validate=_CALL_SID)
    call_status = fields.String(required=True, validate=validate.Length(1, 40))
    call_termination_by = text()


class StatusHookSchema(_LegSchema):
    parent_call_sid = text()
    to_number = Text(data_key="to", load_default="", allow_none=True)
    sip_status = SipStatus(load_default=None, allow_none=True)
    sip_reason = text()
    duration = Seconds(load_default=0, allow_none=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> StatusHook:
        return StatusHook(
            call_sid=data["call_sid"],
            call_status=data["call_status"],
            parent_call_sid=data["parent_call_sid"] or "",
            to_number=data["to_number"] or "",
            sip=_outcome(data["sip_status"], data["sip_reason"]),
            terminated_by=data["call_termination_by"] or "",
            duration=data["duration"] or 0,
        )


class DialHookSchema(_LegSchema):
    dial_call_status = text()
    dial_sip_status = SipStatus(load_default=None, allow_none=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> DialHook:
        return DialHook(
            call_sid=data["call_sid"],
            call_status=data["call_status"],
            dial_call_status=data["dial_call_status"] or "",
            dial_sip=_outcome(data["dial_sip_status"], ""),
            terminated_by=data["call_termination_by"] or "",
        )


class _ReferDetailsSchema(_JambonzSchema):
    sip_refer_to = text()


class ReferHookSchema(_LegSchema):
    parent_call_sid = text()
    refer_details = fields.Nested(_ReferDetailsSchema, required=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> ReferHook:
        return ReferHook(
            call_sid=data["call_sid"],
            refer_to=data["refer_details"]["sip_refer_to"] or "",
            parent_call_sid=data["parent_call_sid"] or "",
        )


class QueueHookSchema(_LegSchema):
    """The action hook of an `enqueue`."""

    queue_result = text()

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> QueueHook:
        return QueueHook(
            call_sid=data["call_sid"],
            call_status=data["call_status"],
            result=data["queue_result"] or "",
            terminated_by=data["call_termination_by"] or "",
        )


class WaitHookSchema(_JambonzSchema):
    """The wait hook of an `enqueue`; the gateway reads its URL only."""


class CallIdQuerySchema(_JambonzSchema):
    """The query of a hook URL that the gateway built with hook_url(): the call."""

    call_id = fields.String(required=True, validate=validate.Length(1, 128))


class TransferSchema(Schema):
    """The body of `POST /livekit-api/calls/{call_id}/transfer`."""

    class Meta:
        unknown = RAISE

    target = fields.String(load_default="", validate=validate.Length(max=300))


class FallbackQuerySchema(_JambonzSchema):
    """The query of a dial's action hook: the index of the fallback target to try next."""

    fallback = fields.Integer(load_default=0, validate=validate.Range(0, 100))


#: What the agent worker reports, and the event of the call that it means.
_REPORTS = {
    "agent_ready": EventKind.AGENT_READY,
    "agent_ended": EventKind.AGENT_ENDED,
    "agent_failed": EventKind.AGENT_FAILED,
    "agent_gone": EventKind.AGENT_GONE,
}


@dataclass(frozen=True, slots=True)
class AgentReport:
    """A report of the agent worker about the call of its job `job_id`."""

    kind: EventKind
    job_id: str
    detail: str
    report: Mapping[str, object] | None


class AgentReportSchema(Schema):
    """The body that the agent worker posts, see `agent/report.py`."""

    class Meta:
        unknown = RAISE

    event = fields.String(required=True, validate=validate.OneOf(list(_REPORTS)))
    job_id = fields.String(required=True, validate=validate.Length(1, 128))
    detail = text()
    report = fields.Dict(keys=fields.String(), load_default=None, allow_none=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> AgentReport:
        kind = _REPORTS[data["event"]]
        return AgentReport(kind, data["job_id"], data["detail"] or "", data["report"])


def _outcome(status: int | None, reason: str | None) -> SipOutcome | None:
    return SipOutcome(status, reason or "") if status else None
