"""A measured value, its limit, and the line that reports both."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """`limit` is the highest good `value`; an infinite one makes the value information only."""

    name: str
    value: float
    limit: float
    unit: str
    detail: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        value = f"{self.value:.2f} {self.unit}"
        if math.isinf(self.limit):
            verdict, limit = "    ", ""
        else:
            verdict = "ok  " if self.is_met else "MISS"
            limit = f"limit {self.limit:g} {self.unit}"
        return f"{verdict}  {self.name:<46} {value:>12}   {limit:<14}  {self.detail}".rstrip()
