"""SIP trunks and dispatch rules at LiveKit: listed, made, changed, deleted; ours carry a mark."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from livekit import api

from gateway.errors import LiveKitRefused
from gateway.livekit.client import LiveKit

#: How long a trunk that was found is taken to be there, in ms.
FOUND_FOR = 60_000

#: What the metadata of ours says, as JSON: `{"managed_by": MARK}`.
MARK = "jambonz-livekit-gateway"


class Kind(StrEnum):
    INBOUND_TRUNK = "inbound trunk"
    OUTBOUND_TRUNK = "outbound trunk"
    DISPATCH_RULE = "dispatch rule"


@dataclass(frozen=True, slots=True)
class SipItem:
    """A trunk or rule. `fields` are LiveKit's own (livekit_sip.proto, JSON mapping, snake_case).

    Fields that have their default are left out, as are the id and the times of creation and
    change. `id` is "" before it is made. A trunk's `fields` may hold its password, see `shown`.
    """

    kind: Kind
    id: str
    fields: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.fields.get("name", ""))

    @property
    def is_ours(self) -> bool:
        return is_marked(str(self.fields.get("metadata", "")))

    @property
    def shown(self) -> Mapping[str, Any]:
        """`fields`, fit to be printed."""
        return {k: "(set)" if k == "auth_password" else v for k, v in self.fields.items()}

    def __repr__(self) -> str:
        return f"SipItem({self.kind}, {self.id}, {self.shown})"


def mark() -> str:
    """The metadata of what is ours."""
    return json.dumps({"managed_by": MARK})


def is_marked(metadata: str) -> bool:
    try:
        content = json.loads(metadata or "{}")
    except json.JSONDecodeError:
        return False
    return isinstance(content, dict) and content.get("managed_by") == MARK


def unfit(item: SipItem) -> str:
    """Why its fields, if they do not come from LiveKit, are none that LiveKit has; "" if they are.

    Values are not repeated: one may be a password.
    """
    message = _SERVICE_CALLS[item.kind].info()
    known = {known.name for known in message.DESCRIPTOR.fields} - _NOT_FIELDS
    if strange := sorted(map(str, item.fields.keys() - known)):
        return f"{item.kind}s have no {strange[0]}"
    for name, value in item.fields.items():
        try:
            ParseDict({name: value}, _SERVICE_CALLS[item.kind].info())
        except ParseError:
            return f"{name} is none that {item.kind}s can have"
    return ""


class Trunks:
    """All trunks and rules of a LiveKit project. Raises LiveKitRefused, LiveKitUnreachable."""

    def __init__(self, livekit: LiveKit) -> None:
        self._livekit = livekit

    async def listed(self) -> list[SipItem]:
        """Everything there is, each kind in the order of its ids."""
        return [item for kind in Kind for item in await self.of_kind(kind)]

    async def of_kind(self, kind: Kind) -> list[SipItem]:
        answer = await self._livekit.call(_SERVICE_CALLS[kind].list)
        found = [_item(kind, message) for message in answer.items]
        return sorted(found, key=lambda item: item.id)

    async def create(self, item: SipItem) -> SipItem:
        """Make it; what LiveKit made of it, with its id."""
        service = _SERVICE_CALLS[item.kind]
        message = ParseDict(dict(item.fields), service.info())
        return _item(item.kind, await self._livekit.call_once(lambda c: service.create(c, message)))

    async def replace(self, item: SipItem) -> SipItem:
        """Give the one with this id these fields, all of them."""
        service = _SERVICE_CALLS[item.kind]
        message = ParseDict(dict(item.fields), service.info())
        answer = await self._livekit.call(lambda c: service.replace(c, item.id, message))
        return _item(item.kind, answer)

    async def delete(self, item: SipItem) -> None:
        """One that is gone already is fine."""
        try:
            await self._livekit.call(lambda c: _SERVICE_CALLS[item.kind].delete(c, item.id))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise


class OutboundTrunk:
    """Which outbound trunk to dial through: a configured one, or that which `setup` made."""

    def __init__(self, trunks: Trunks, configured: str, clock: Callable[[], int]) -> None:
        self._trunks = trunks
        self._configured = configured
        self._clock = clock
        self._found = ""
        self._found_at = 0

    async def for_dispatch(self) -> str:
        """Its id, "" if there is none. Raises LiveKitRefused, LiveKitUnreachable."""
        return self._configured or await self._ours()

    async def to_jambonz(self) -> str:
        """Its id, "" if there is none: ours leads to Jambonz, a configured one may not."""
        return await self._ours() or self._configured

    async def _ours(self) -> str:
        if self._clock() - self._found_at > FOUND_FOR:
            listed = await self._trunks.of_kind(Kind.OUTBOUND_TRUNK)
            self._found = next((item.id for item in listed if item.is_ours), "")
            # One that is not there yet is looked for again: somebody is about to run `setup`.
            self._found_at = self._clock() if self._found else 0
        return self._found


@dataclass(frozen=True, slots=True)
class _ServiceCalls:
    """How LiveKit wants requests about one kind."""

    info: Callable[[], Message]
    list: Callable[[api.LiveKitAPI], Awaitable[Any]]
    create: Callable[[api.LiveKitAPI, Any], Awaitable[Any]]
    replace: Callable[[api.LiveKitAPI, str, Any], Awaitable[Any]]
    delete: Callable[[api.LiveKitAPI, str], Awaitable[Any]]


def _delete_trunk(client: api.LiveKitAPI, trunk_id: str) -> Awaitable[Any]:
    return client.sip.delete_trunk(api.DeleteSIPTrunkRequest(sip_trunk_id=trunk_id))


_SERVICE_CALLS: Mapping[Kind, _ServiceCalls] = {
    Kind.INBOUND_TRUNK: _ServiceCalls(
        info=api.SIPInboundTrunkInfo,
        list=lambda c: c.sip.list_inbound_trunk(api.ListSIPInboundTrunkRequest()),
        create=lambda c, info: c.sip.create_inbound_trunk(
            api.CreateSIPInboundTrunkRequest(trunk=info)
        ),
        replace=lambda c, trunk_id, info: c.sip.update_inbound_trunk(trunk_id, info),
        delete=_delete_trunk,
    ),
    Kind.OUTBOUND_TRUNK: _ServiceCalls(
        info=api.SIPOutboundTrunkInfo,
        list=lambda c: c.sip.list_outbound_trunk(api.ListSIPOutboundTrunkRequest()),
        create=lambda c, info: c.sip.create_outbound_trunk(
            api.CreateSIPOutboundTrunkRequest(trunk=info)
        ),
        replace=lambda c, trunk_id, info: c.sip.update_outbound_trunk(trunk_id, info),
        delete=_delete_trunk,
    ),
    Kind.DISPATCH_RULE: _ServiceCalls(
        info=api.SIPDispatchRuleInfo,
        list=lambda c: c.sip.list_dispatch_rule(api.ListSIPDispatchRuleRequest()),
        create=lambda c, info: c.sip.create_dispatch_rule(
            api.CreateSIPDispatchRuleRequest(dispatch_rule=info)
        ),
        replace=lambda c, rule_id, info: c.sip.update_dispatch_rule(rule_id, info),
        delete=lambda c, rule_id: c.sip.delete_dispatch_rule(
            api.DeleteSIPDispatchRuleRequest(sip_dispatch_rule_id=rule_id)
        ),
    ),
}

_NOT_FIELDS = frozenset({"sip_trunk_id", "sip_dispatch_rule_id", "created_at", "updated_at"})


def _item(kind: Kind, message: Any) -> SipItem:
    fields = MessageToDict(message, preserving_proto_field_name=True)
    item_id = message.sip_dispatch_rule_id if kind is Kind.DISPATCH_RULE else message.sip_trunk_id
    return SipItem(kind, item_id, {k: v for k, v in fields.items() if k not in _NOT_FIELDS})
