"""A table as plain text, for a terminal of 100 columns. Pure."""

from collections.abc import Sequence
from itertools import zip_longest
from textwrap import wrap

WIDTH = 100
GAP = "  "


def table(rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """Columns of at most `widths`, the last as wide as there is room; what is longer is wrapped.

    A line break in a cell stays one. Words are never broken: an address can be copied whole.
    """
    last = WIDTH - sum(widths) - len(GAP) * len(widths)
    lines = []
    for row in rows:
        cells = [_folded(cell, width) for cell, width in zip(row, [*widths, last], strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            padded = (part.ljust(width) for part, width in zip(parts, [*widths, 0], strict=True))
            lines.append(GAP.join(padded).rstrip())
    return "\n".join(lines)


def _folded(cell: str, width: int) -> list[str]:
    # Names are others': what would steer a terminal is shown as such.
    shown = "".join(sign if sign.isprintable() or sign == "\n" else "�" for sign in cell)
    return [
        line
        for part in shown.split("\n")
        for line in wrap(part, width, break_long_words=False, break_on_hyphens=False) or [""]
    ]
