"""How an agent's report is read, which may be of any form: the rest is left out. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any


def entries(report: Mapping[str, Any] | None, name: str) -> Sequence[Any]:
    """The entries of the list `name`; none where there is no such list."""
    content = (report or {}).get(name)
    return content if isinstance(content, list) else ()


def mapping(value: Any) -> Mapping[str, Any]:
    """`value` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def natural(value: Any) -> int | None:
    """A natural number, as ms since epoch or ms; None for anything else."""
    is_natural = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
    return value if is_natural else None
