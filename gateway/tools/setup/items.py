"""What setup reads from a trunk or a dispatch rule. Does no I/O."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.livekit.trunks import SipItem

_NUMBER = re.compile(r"\+?[0-9\- ()]+")


def label(item: SipItem) -> str:
    """An item in words: its kind, its id, its name if it has one."""
    name = f' "{item.name}"' if item.name else ""
    return f"{item.kind} {item.id}{name}"


def rule_kind(rule: SipItem) -> str:
    """`dispatch_rule_direct`, `dispatch_rule_individual` or `dispatch_rule_callee`."""
    return next(iter(rule.fields.get("rule", {})), "")


def pin_of(rule: SipItem) -> str:
    return str(_content(rule).get("pin", ""))


def prefix_of(rule: SipItem) -> str:
    """The prefix of the room's name; the name itself for a direct rule."""
    content = _content(rule)
    return str(content.get("room_name") or content.get("room_prefix") or "")


def is_random(rule: SipItem) -> bool:
    """Whether LiveKit appends a random part to the names of the rule's rooms."""
    content = _content(rule)
    if rule_kind(rule) == "dispatch_rule_individual":
        return not content.get("no_randomness")
    return bool(content.get("randomize"))


def _content(rule: SipItem) -> Mapping[str, Any]:
    content: Mapping[str, Any] = rule.fields.get("rule", {}).get(rule_kind(rule), {})
    return content


def normalized(number: str) -> str:
    """The form in which LiveKit compares numbers: `+` and digits. Other text stays as it is."""
    if not _NUMBER.fullmatch(number):
        return number
    return "+" + re.sub(r"[+\- ()]", "", number)
