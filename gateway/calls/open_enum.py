"""Enumerations that a newer gateway may have more members of. Pure."""

from enum import StrEnum
from typing import Self


class OpenEnum(StrEnum):
    """An unknown value is a member of its own, which is stored and shown as it was read.

    So gateways of two versions can share records. Not for values that clients send: none is wrong.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member
