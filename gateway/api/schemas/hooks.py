"""Jambonz's hooks, from JSON to dataclasses. Unknown fields are ignored.

Only `call_sid` and `call_status` can refuse a hook: every other field of an odd type is absent.
"""

from typing import Any

from marshmallow import EXCLUDE, Schema, fields, post_load, validate

from gateway.api.schemas.fields import Seconds, SipHeaders, SipStatus, Text, TextMap, text
from gateway.calls.outcomes import SipOutcome
from gateway.calls.sip_headers import reason_with_cause
from gateway.jambonz.hooks import (
    CallHook,
    DialHook,
    GatherHook,
    QueueHook,
    ReferHook,
    StatusHook,
)

_CALL_SID = validate.Length(min=1, max=128)


class _JambonzSchema(Schema):
    class Meta:
        unknown = EXCLUDE


class CallHookSchema(_JambonzSchema):
    """The call hook of jambonz-feature-server 0.9.8 and 11, and that of a `redirect`."""

    call_sid = fields.String(required=True, validate=_CALL_SID)
    from_number = Text(data_key="from", load_default="", allow_none=True)
    to_number = Text(data_key="to", load_default="", allow_none=True)
    caller_name = text()
    account_sid = text()
    application_sid = text()
    call_id = text()
    api_base_url = text()
    originating_sip_trunk_name = text()
    call_status = text()
    direction = text()
    headers = SipHeaders(data_key="sip", load_default=dict, allow_none=True)
    env_vars = TextMap(load_default=dict, allow_none=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> CallHook:
        ids = {
            "account_sid": data["account_sid"],
            "application_sid": data["application_sid"],
            "sip_call_id": data["call_id"],
            "sip_trunk_name": data["originating_sip_trunk_name"],
            "api_base_url": data["api_base_url"],
        }
        return CallHook(
            call_sid=data["call_sid"],
            from_number=data["from_number"] or "",
            to_number=data["to_number"] or "",
            caller_name=data["caller_name"] or "",
            call_status=data["call_status"] or "",
            is_outbound=data["direction"] == "outbound",
            ids={key: value for key, value in ids.items() if value},
            env_vars=data["env_vars"] or {},
            headers=data["headers"] or {},
        )


class _LegSchema(_JambonzSchema):
    """What all later hooks have: the leg and its status."""

    call_sid = fields.String(required=True, validate=_CALL_SID)
    call_status = fields.String(required=True, validate=validate.Length(1, 40))
    call_termination_by = text()
    sip_reason_header = text()


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
            sip=_outcome(data["sip_status"], data["sip_reason"], data["sip_reason_header"]),
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
            dial_sip=_outcome(data["dial_sip_status"], "", data["sip_reason_header"]),
            terminated_by=data["call_termination_by"] or "",
        )


class ReferHookSchema(_LegSchema):
    """The refer hook of a `dial`; without a usable `sip_refer_to` the REFER is refused."""

    parent_call_sid = text()
    refer_details = TextMap(load_default=dict, allow_none=True)

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> ReferHook:
        return ReferHook(
            call_sid=data["call_sid"],
            refer_to=(data["refer_details"] or {}).get("sip_refer_to", ""),
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


class UrlHookSchema(_JambonzSchema):
    """The wait hook of an `enqueue`, and a confirm hook: the gateway reads their URLs only."""


class GatherHookSchema(_JambonzSchema):
    """The action hook of the `gather` in an announcement."""

    call_sid = fields.String(required=True, validate=_CALL_SID)
    digits = text()

    @post_load
    def make(self, data: dict[str, Any], **kwargs: Any) -> GatherHook:
        return GatherHook(data["call_sid"], data["digits"] or "")


class CallIdQuerySchema(_JambonzSchema):
    """The query of a hook URL that the gateway built with hook_url(): the call."""

    call_id = fields.String(required=True, validate=validate.Length(1, 128))


class DialQuerySchema(_JambonzSchema):
    """The query of a dial's action hook: the call, and the fallback target to try next (index)."""

    fallback = fields.Integer(load_default=0, validate=validate.Range(0, 100))
    call_id = fields.String(load_default="", validate=validate.Length(0, 128))


def _outcome(status: int | None, phrase: str | None, reason: str | None) -> SipOutcome | None:
    """`reason` is the Reason header (RFC 3326), which Jambonz 11 hands on."""
    return SipOutcome(status, reason_with_cause(phrase or "", reason or "")) if status else None
