"""A measured figure, what it should be, and a line that says both."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """`value` is good when it is at most `limit`; an infinite one is there for the reader only."""

    name: str
    value: float
    limit: float
    unit: str
    detail: str = ""

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        figure = f"{self.value:.2f} {self.unit}"
        if math.isinf(self.limit):
            verdict, limit = "    ", ""
        else:
            verdict = "ok  " if self.is_met else "MISS"
            limit = f"limit {self.limit:g} {self.unit}"
        return f"{verdict}  {self.name:<46} {figure:>12}   {limit:<14}  {self.detail}".rstrip()
