"""The desired state: trunks and rule by the settings, and advice. Does no I/O."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.config.settings import Config, LiveKitSettings, TrunkSettings
from gateway.config.validation import credential_problems, encryption_problems
from gateway.errors import ConfigError
from gateway.livekit.trunks import MARK, Kind, SipItem, mark
from gateway.tools.setup.routing import network

#: The id of an item that does not exist yet; the rule names its trunk by it.
NEW = "(new)"

#: The fields that the settings determine. All others (name, metadata, noise cancellation, …) are
#: set at most when an item is created, and setup leaves them as they are afterwards.
MANAGED_FIELDS: Mapping[Kind, tuple[str, ...]] = {
    Kind.INBOUND_TRUNK: (
        "numbers",
        "allowed_addresses",
        "allowed_numbers",
        "auth_username",
        "auth_password",
        "include_headers",
        "headers_to_attributes",
        "media",
    ),
    Kind.OUTBOUND_TRUNK: (
        "address",
        "transport",
        "numbers",
        "auth_username",
        "auth_password",
        "include_headers",
        "media",
    ),
    Kind.DISPATCH_RULE: ("rule", "trunk_ids", "numbers", "inbound_numbers"),
}

#: The `X-` headers of Jambonz's INVITE that become attributes of the caller's participant.
HEADER_ATTRIBUTES = {"X-Call-Id": "call_id", "X-Account-Code": "account_code"}

_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*\.?")


def desired_items(config: Config) -> tuple[SipItem, ...]:
    """The items that LiveKit should have, with id NEW. Raises ConfigError, a line per problem."""
    trunks = config.trunks
    is_room = config.inbound.strategy == "room"
    problems = credential_problems(trunks) + encryption_problems(config.livekit)
    problems += _inbound_problems(trunks) if is_room else []
    if trunks.outbound_address:
        problems += _outbound_problems(config)
    elif not is_room and not config.outbound.trunk_id:
        problems.append(
            "trunks.outbound_address is not set: with inbound.strategy participant LiveKit calls "
            "Jambonz through an outbound trunk; set it to the host[:port] of Jambonz's SBC"
        )
    if problems:
        raise ConfigError(problems)
    media = _media(config.livekit)
    items = [_inbound_trunk(trunks, media), _rule()] if is_room else []
    return (*items, *([_outbound_trunk(trunks, media)] if trunks.outbound_address else []))


def advice(config: Config, items: Iterable[SipItem]) -> list[str]:
    """Warnings about these settings, a line each. `items` are what LiveKit will have."""
    trunks, lines = config.trunks, []
    if config.inbound.strategy == "room":
        for address in trunks.inbound_addresses:
            if network(address) is None:
                lines.append(
                    f"{address} is a host name: LiveKit only compares it with the host in the "
                    "INVITE's From header, which any caller can choose"
                )
            elif address.endswith("/0") and not trunks.inbound_password:
                lines.append(f"{address} accepts calls from every address")
        if trunks.inbound_password:
            lines.append(
                "with SIP_INBOUND_PASSWORD set LiveKit challenges every INVITE (407). Jambonz gets "
                "the credentials with each dial and repeats the INVITE with them"
            )
    outbound = [item for item in items if item.kind is Kind.OUTBOUND_TRUNK]
    return lines + _outbound_advice(config, outbound)


def _outbound_advice(config: Config, outbound: Sequence[SipItem]) -> list[str]:
    configured = config.outbound.trunk_id
    if configured and configured not in {item.id for item in outbound}:
        return [f"SIP_OUTBOUND_TRUNK_ID names {configured}, but LiveKit has no such outbound trunk"]
    if configured and config.trunks.outbound_address:
        return [
            f"outbound calls use {configured} (SIP_OUTBOUND_TRUNK_ID); unset it to use the trunk "
            "that setup creates"
        ]
    if configured or any(item.is_ours for item in outbound):
        return []
    return [
        "no outbound trunk is planned because trunks.outbound_address is not set; POST /dispatch "
        "needs that or SIP_OUTBOUND_TRUNK_ID"
    ]


def _media(livekit: LiveKitSettings) -> Mapping[str, str]:
    """A trunk's `media`: encrypted, and refused if it is not; or as LiveKit has it by default."""
    if livekit.sip_media_encryption == "none":
        return {}
    return {"encryption": "SIP_MEDIA_ENCRYPT_REQUIRE"}


def _inbound_trunk(trunks: TrunkSettings, media: Mapping[str, str]) -> SipItem:
    fields = {
        "name": MARK,
        "metadata": mark(),
        "allowed_addresses": list(trunks.inbound_addresses),
        "auth_username": trunks.inbound_username,
        "auth_password": trunks.inbound_password,
        "include_headers": "SIP_X_HEADERS",
        "headers_to_attributes": HEADER_ATTRIBUTES,
        "media": media,
    }
    return SipItem(Kind.INBOUND_TRUNK, NEW, _without_empty(fields))


def _rule() -> SipItem:
    """Puts a call into the room that has exactly the called user's name."""
    fields = {
        "name": MARK,
        "metadata": mark(),
        "trunk_ids": [NEW],
        "rule": {"dispatch_rule_callee": {}},
    }
    return SipItem(Kind.DISPATCH_RULE, NEW, fields)


def _outbound_trunk(trunks: TrunkSettings, media: Mapping[str, str]) -> SipItem:
    transport = trunks.outbound_transport
    if media and transport == "auto":
        transport = "tls"
    fields = {
        "name": MARK,
        "metadata": mark(),
        "address": trunks.outbound_address,
        "transport": "" if transport == "auto" else f"SIP_TRANSPORT_{transport.upper()}",
        "numbers": list(trunks.outbound_numbers),
        "auth_username": trunks.outbound_username,
        "auth_password": trunks.outbound_password,
        "include_headers": "SIP_X_HEADERS",
        "media": media,
    }
    return SipItem(Kind.OUTBOUND_TRUNK, NEW, _without_empty(fields))


def _without_empty(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _inbound_problems(trunks: TrunkSettings) -> list[str]:
    problems = []
    if not (trunks.inbound_addresses or trunks.inbound_username or trunks.inbound_password):
        problems.append(
            "trunks.inbound_addresses is empty: list the addresses or networks that Jambonz's SBCs "
            "send INVITEs from (or set SIP_INBOUND_USERNAME and SIP_INBOUND_PASSWORD)"
        )
    return problems + [
        f"trunks.inbound_addresses: {address!r} must be an address (192.0.2.10), a network "
        "(192.0.2.0/24) or a host name, with no port and no scheme"
        for address in trunks.inbound_addresses
        if network(address) is None and not _is_host(address)
    ]


def _outbound_problems(config: Config) -> list[str]:
    trunks, problems = config.trunks, []
    encryption = config.livekit.sip_media_encryption
    if encryption != "none" and trunks.outbound_transport not in {"auto", "tls"}:
        problems.append(
            f"trunks.outbound_transport must be tls or auto with livekit.sip_media_encryption "
            f"{encryption}, whose keys are in the INVITE"
        )
    if not trunks.outbound_numbers:
        problems.append(
            "trunks.outbound_numbers is empty: LiveKit requires a number for an outbound trunk; "
            "list the caller IDs for requests that name none"
        )
    return problems


def _is_host(text: str) -> bool:
    """Whether `text` is a host name; with a number as its last label it is a mistyped address."""
    last_label = text.rstrip(".").rpartition(".")[2]
    return bool(_HOST.fullmatch(text)) and not last_label.isdecimal()
