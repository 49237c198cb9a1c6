"""A table that fits a terminal: cells are cut, columns left out, one column in colour. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

GAP = "  "
_CUT = "…"


@dataclass(frozen=True, slots=True)
class Column:
    """`least`: cells are cut to no less. `rank`: the highest is cut first, and left out first.

    One of rank 0 stays. `is_coloured`: its cells have the colour of their row.
    """

    title: str
    least: int
    rank: int = 0
    is_coloured: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """The cells, and the ANSI code of the row's colour ("" for none): `32` is green."""

    cells: Sequence[str]
    colour: str = ""


def natural_widths(columns: Sequence[Column], rows: Sequence[Row]) -> list[int]:
    """Of each column, so that nothing is cut."""
    return [
        max(map(len, [column.title, *(row.cells[number] for row in rows)]))
        for number, column in enumerate(columns)
    ]


def fitted(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> list[int]:
    """The columns' widths in a terminal of `width`; 0 for those that are left out."""
    widths = list(natural)
    if width is None:
        return widths
    least = [min(column.least, own) for column, own in zip(columns, natural, strict=True)]
    by_rank = sorted(range(len(columns)), key=lambda number: -columns[number].rank)
    for number in by_rank:
        if columns[number].rank and _total(least) > width:
            widths[number] = least[number] = 0
    for number in by_rank:
        excess = max(0, _total(widths) - width)
        widths[number] -= min(excess, widths[number] - least[number])
    return widths


def _total(widths: Sequence[int]) -> int:
    shown = [width for width in widths if width]
    return sum(shown) + len(GAP) * (len(shown) - 1)


def line(columns: Sequence[Column], widths: Sequence[int], row: Row) -> str:
    """A row of the table."""
    shown = [
        _painted(_cut(cell, width).ljust(width), row.colour if column.is_coloured else "")
        for column, cell, width in zip(columns, row.cells, widths, strict=True)
        if width
    ]
    return GAP.join(shown).rstrip()


def heading(columns: Sequence[Column], widths: Sequence[int]) -> str:
    return line(columns, widths, Row([column.title for column in columns]))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + _CUT


def _painted(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and text.strip() else text
