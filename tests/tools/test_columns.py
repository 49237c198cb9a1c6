"""Tables that fit a terminal."""

import pytest

from gateway.tools.columns import Column, Row, fitted, heading, line, natural_widths

COLUMNS = (
    Column("call", 6),
    Column("from", 4, rank=1),
    Column("state", 5, is_coloured=True),
    Column("agent", 5, rank=2),
)
ROWS = [
    Row(["call-123", "+15550100", "ongoing", "receptionist"], "32"),
    Row(["call-4", "", "no_agent", "x"]),
]
NATURAL = natural_widths(COLUMNS, ROWS)


def text(width: int | None) -> list[str]:
    widths = fitted(COLUMNS, NATURAL, width)
    plain = [Row(row.cells) for row in ROWS]
    return [heading(COLUMNS, widths), *(line(COLUMNS, widths, row) for row in plain)]


def test_without_a_terminal_nothing_is_cut() -> None:
    assert text(None) == [
        "call      from       state     agent",
        "call-123  +15550100  ongoing   receptionist",
        "call-4               no_agent  x",
    ]
    assert text(200) == text(None)


def test_what_matters_least_is_cut_first() -> None:
    assert text(38) == [
        "call      from       state     agent",
        "call-123  +15550100  ongoing   recept…",
        "call-4               no_agent  x",
    ]


def test_where_there_is_no_room_columns_are_left_out() -> None:
    assert text(24)[1] == "call-123  +15…  ongoing"
    assert text(14)[1] == "call-…  ongoi…"


@pytest.mark.parametrize("width", range(13, 60))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, text(width))) <= width


def test_a_terminal_narrower_than_the_table_gets_its_least_width() -> None:
    assert text(3) == text(13)


def test_only_the_column_of_the_state_is_coloured() -> None:
    coloured = line(COLUMNS, NATURAL, ROWS[0])
    assert coloured == "call-123  +15550100  \x1b[32mongoing \x1b[0m  receptionist"
