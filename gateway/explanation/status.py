"""How bad a finding is. Pure."""

from enum import StrEnum


class Status(StrEnum):
    OK = "ok"
    SKIP = "skip"
    WARN = "warn"
    FAIL = "fail"
