"""SIP trunks and dispatch rules at LiveKit; those that `setup` creates are marked as managed."""

import json
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from livekit import api

from gateway.errors import LiveKitRefused
from gateway.livekit.client import LiveKit

#: How long `OutboundTrunk` uses a trunk id before it lists the trunks again, in ms.
CACHE_MS = 60_000

NO_TRUNK = (
    "there is no outbound trunk: create one with `python -m gateway setup`, or set "
    "SIP_OUTBOUND_TRUNK_ID"
)

#: The metadata of managed trunks and rules is the JSON object `{"managed_by": MARK}`.
MARK = "jambonz-livekit-gateway"


class Kind(StrEnum):
    INBOUND_TRUNK = "inbound trunk"
    OUTBOUND_TRUNK = "outbound trunk"
    DISPATCH_RULE = "dispatch rule"


@dataclass(frozen=True, slots=True)
class SipItem:
    """A trunk or rule. `fields` are LiveKit's (livekit_sip.proto, JSON mapping, snake_case).

    Fields with their default value are left out, as are the id and the times of creation and
    change. `id` is "" before LiveKit has created it. A trunk's `fields` may contain its password,
    see `shown`.
    """

    kind: Kind
    id: str
    fields: Mapping[str, Any]

    @property
    def name(self) -> str:
        return str(self.fields.get("name", ""))

    @property
    def is_ours(self) -> bool:
        return _is_marked(str(self.fields.get("metadata", "")))

    @property
    def shown(self) -> Mapping[str, Any]:
        """`fields` for printing, without the password."""
        return {k: "(set)" if k == "auth_password" else v for k, v in self.fields.items()}

    def __repr__(self) -> str:
        return f"SipItem({self.kind}, {self.id}, {self.shown})"


def mark() -> str:
    """The metadata of managed trunks and rules."""
    return json.dumps({"managed_by": MARK})


def _is_marked(metadata: str) -> bool:
    try:
        content = json.loads(metadata or "{}")
    except json.JSONDecodeError:
        return False
    return isinstance(content, dict) and content.get("managed_by") == MARK


def field_problem(item: SipItem) -> str:
    """Why LiveKit cannot have the item's fields, which come from a file; "" if it can.

    The text has no values: one may be a password.
    """
    message = _SERVICE_CALLS[item.kind].info()
    known = {known.name for known in message.DESCRIPTOR.fields} - _NOT_FIELDS
    if unknown := sorted(map(str, item.fields.keys() - known)):
        return f"{item.kind}s have no {unknown[0]}"
    for name, value in item.fields.items():
        try:
            ParseDict({name: value}, _SERVICE_CALLS[item.kind].info())
        except ParseError:
            return f"{item.kind}s cannot have this {name}"
    return ""


class Trunks:
    """All trunks and rules of a LiveKit project. Raises LiveKitRefused, LiveKitUnreachable."""

    def __init__(self, livekit: LiveKit) -> None:
        self._livekit = livekit

    async def listed(self) -> list[SipItem]:
        """All trunks and rules, each kind sorted by id."""
        return [item for kind in Kind for item in await self.of_kind(kind)]

    async def of_kind(self, kind: Kind) -> list[SipItem]:
        response = await self._livekit.call(_SERVICE_CALLS[kind].list)
        items = [_item(kind, message) for message in response.items]
        return sorted(items, key=lambda item: item.id)

    async def create(self, item: SipItem) -> SipItem:
        """Create the item; returns it as LiveKit stores it, with its id."""
        service = _SERVICE_CALLS[item.kind]
        message = ParseDict(dict(item.fields), service.info())
        return _item(item.kind, await self._livekit.call_once(lambda c: service.create(c, message)))

    async def replace(self, item: SipItem) -> SipItem:
        """Replace all fields of the trunk or rule with the item's id."""
        service = _SERVICE_CALLS[item.kind]
        message = ParseDict(dict(item.fields), service.info())
        replaced = await self._livekit.call(lambda c: service.replace(c, item.id, message))
        return _item(item.kind, replaced)

    async def delete(self, item: SipItem) -> None:
        """Delete the item; no error if it is deleted already."""
        try:
            await self._livekit.call(lambda c: _SERVICE_CALLS[item.kind].delete(c, item.id))
        except LiveKitRefused as refusal:
            if refusal.code != api.ServerErrorCode.NOT_FOUND:
                raise


class OutboundTrunk:
    """The outbound trunk to dial through: the configured one, or the one that `setup` created.

    `clock` in ms from any moment.
    """

    def __init__(self, trunks: Trunks, configured: str, clock: Callable[[], int]) -> None:
        self._trunks = trunks
        self._configured = configured
        self._clock = clock
        self._managed_id = ""
        self._listed_at: float = -math.inf

    async def for_dispatch(self) -> str:
        """The trunk's id, "" if there is none. Raises LiveKitRefused, LiveKitUnreachable."""
        return self._configured or await self._managed()

    async def to_jambonz(self) -> str:
        """The same for calls to Jambonz. A configured trunk may lead elsewhere: it comes second."""
        return await self._managed() or self._configured

    async def _managed(self) -> str:
        if self._clock() - self._listed_at > CACHE_MS:
            trunks = await self._trunks.of_kind(Kind.OUTBOUND_TRUNK)
            self._managed_id = next((trunk.id for trunk in trunks if trunk.is_ours), "")
            # That there is none is not cached: `setup` may create one at any time.
            self._listed_at = self._clock() if self._managed_id else -math.inf
        return self._managed_id


@dataclass(frozen=True, slots=True)
class _ServiceCalls:
    """LiveKit's message and requests for one kind."""

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
