"""The trunks and the rule that the settings ask for, and what is to be known about them. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.config.settings import Config, TrunkSettings
from gateway.config.validation import credential_problems
from gateway.errors import ConfigError
from gateway.livekit.trunks import MARK, Kind, SipItem, mark
from gateway.tools.setup.routing import network

#: The id of what is not made yet; the rule names its trunk so.
NEW = "(new)"

#: What of ours is the settings' to say. Everything else (name, metadata, noise cancellation, …) is
#: set when it is made, if at all, and then left as it is found.
MANAGED: Mapping[Kind, tuple[str, ...]] = {
    Kind.INBOUND_TRUNK: (
        "numbers",
        "allowed_addresses",
        "allowed_numbers",
        "auth_username",
        "auth_password",
        "include_headers",
        "headers_to_attributes",
    ),
    Kind.OUTBOUND_TRUNK: (
        "address",
        "transport",
        "numbers",
        "auth_username",
        "auth_password",
        "include_headers",
    ),
    Kind.DISPATCH_RULE: ("rule", "trunk_ids", "numbers", "inbound_numbers"),
}

#: The `X-` headers that the gateway has Jambonz send, as attributes of the caller's participant.
ATTRIBUTES = {"X-Call-Id": "call_id", "X-Account-Code": "account_code"}

_HOST = re.compile(r"(?!-)[A-Za-z0-9-]{1,63}(\.(?!-)[A-Za-z0-9-]{1,63})*\.?")
_HOST_PORT = re.compile(rf"({_HOST.pattern}|\[[0-9A-Fa-f:.]+\])(:[0-9]{{1,5}})?")


def wanted_items(config: Config) -> tuple[SipItem, ...]:
    """What should be there, with id NEW. Raises ConfigError with a line for each problem."""
    trunks = config.trunks
    is_room = config.inbound.strategy == "room"
    problems = credential_problems(trunks) + (_inbound_problems(trunks) if is_room else [])
    if trunks.outbound_address:
        problems += _outbound_problems(trunks)
    elif not is_room and not config.outbound.trunk_id:
        problems.append(
            "trunks.outbound_address is not set: with inbound.strategy participant LiveKit calls "
            "Jambonz through an outbound trunk; set it to the host[:port] of Jambonz's SBC"
        )
    if problems:
        raise ConfigError(problems)
    items = [_inbound_trunk(trunks), _rule()] if is_room else []
    return (*items, *([_outbound_trunk(trunks)] if trunks.outbound_address else []))


def advice(config: Config, items: Iterable[SipItem]) -> list[str]:
    """What somebody who runs setup with these settings had better know, a line each.

    `items` are what LiveKit will have.
    """
    trunks, lines = config.trunks, []
    if config.inbound.strategy == "room":
        for address in trunks.inbound_addresses:
            if network(address) is None:
                lines.append(
                    f"{address} is a host name: LiveKit compares it with the host in the INVITE's "
                    "From only, which anybody can write"
                )
            elif address.endswith("/0") and not trunks.inbound_password:
                lines.append(f"{address} lets everybody call in")
        if trunks.inbound_password:
            lines.append(
                "with SIP_INBOUND_PASSWORD set LiveKit challenges every INVITE: Jambonz is given "
                "the credentials with each dial, but answers under another Call-ID, which LiveKit "
                "may not take for the same call; allowed addresses alone are safer"
            )
    return lines + _about_outbound(config, [i for i in items if i.kind is Kind.OUTBOUND_TRUNK])


def _about_outbound(config: Config, there: Sequence[SipItem]) -> list[str]:
    named = config.outbound.trunk_id
    if named and named not in {item.id for item in there}:
        return [f"LiveKit has no outbound trunk {named}, which SIP_OUTBOUND_TRUNK_ID names"]
    if named and config.trunks.outbound_address:
        return [
            f"calls go out through {named} (SIP_OUTBOUND_TRUNK_ID); take that out to have them use "
            "the trunk that setup makes"
        ]
    if named or any(item.is_ours for item in there):
        return []
    return [
        "no outbound trunk is planned: trunks.outbound_address is not set; /dispatch needs it, or "
        "SIP_OUTBOUND_TRUNK_ID"
    ]


def _inbound_trunk(trunks: TrunkSettings) -> SipItem:
    fields = {
        "name": MARK,
        "metadata": mark(),
        "allowed_addresses": list(trunks.inbound_addresses),
        "auth_username": trunks.inbound_username,
        "auth_password": trunks.inbound_password,
        "include_headers": "SIP_X_HEADERS",
        "headers_to_attributes": ATTRIBUTES,
    }
    return SipItem(Kind.INBOUND_TRUNK, NEW, _given(fields))


def _rule() -> SipItem:
    """Into the room that is named as the called user: nothing before the name, nothing after."""
    fields = {
        "name": MARK,
        "metadata": mark(),
        "trunk_ids": [NEW],
        "rule": {"dispatch_rule_callee": {}},
    }
    return SipItem(Kind.DISPATCH_RULE, NEW, fields)


def _outbound_trunk(trunks: TrunkSettings) -> SipItem:
    transport = trunks.outbound_transport
    fields = {
        "name": MARK,
        "metadata": mark(),
        "address": trunks.outbound_address,
        "transport": "" if transport == "auto" else f"SIP_TRANSPORT_{transport.upper()}",
        "numbers": list(trunks.outbound_numbers),
        "auth_username": trunks.outbound_username,
        "auth_password": trunks.outbound_password,
        "include_headers": "SIP_X_HEADERS",
    }
    return SipItem(Kind.OUTBOUND_TRUNK, NEW, _given(fields))


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value}


def _inbound_problems(trunks: TrunkSettings) -> list[str]:
    problems = []
    if not (trunks.inbound_addresses or trunks.inbound_username or trunks.inbound_password):
        problems.append(
            "trunks.inbound_addresses is empty: list the addresses or networks that Jambonz's SBCs "
            "send INVITEs from (or set SIP_INBOUND_USERNAME and SIP_INBOUND_PASSWORD)"
        )
    return problems + [
        f"trunks.inbound_addresses: {address!r} is no address (192.0.2.10), network "
        "(192.0.2.0/24) or host name; no port, no scheme"
        for address in trunks.inbound_addresses
        if network(address) is None and not _is_host(address)
    ]


def _outbound_problems(trunks: TrunkSettings) -> list[str]:
    problems = []
    if not _HOST_PORT.fullmatch(trunks.outbound_address):
        problems.append(
            f"trunks.outbound_address: {trunks.outbound_address!r} is not of the form host[:port]; "
            "the transport has a setting of its own"
        )
    if not trunks.outbound_numbers:
        problems.append(
            "trunks.outbound_numbers is empty: LiveKit takes no outbound trunk without a number; "
            "list what calls come from when a request names no caller"
        )
    return problems


def _is_host(text: str) -> bool:
    """A host name: the last part is not a number, or it is a mistyped address."""
    last = text.rstrip(".").rpartition(".")[2]
    return bool(_HOST.fullmatch(text)) and not last.isdecimal()
