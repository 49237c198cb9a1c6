"""Calls as CSV: nothing that a caller or an agent says is a formula."""

import csv
import io
from dataclasses import replace

import pytest

from gateway.calls import spreadsheet
from gateway.calls.views import details
from tests.storage.test_serialization import FULL_CALL


def row(text: str) -> dict[str, str]:
    (found,) = csv.DictReader(io.StringIO(spreadsheet.header() + text, newline=""))
    return found


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+1-800", "'+1-800"),
        (" @SUM(A1)", "' @SUM(A1)"),
        ("-cmd", "'-cmd"),
        ("\t=1", "'\t=1"),
        ("\n=1", "'\n=1"),
        ("+15550100", "+15550100"),
        ("-1.5", "-1.5"),
        ('say "hi", Bob\nnow', 'say "hi", Bob\nnow'),
        ("", ""),
    ],
)
def test_cells(text: str, cell: str) -> None:
    analysis = {"call_analysis": {"call_summary": text}}
    found = row(spreadsheet.line(details(replace(FULL_CALL, from_number=text, report=analysis))))
    assert (found["from_number"], found["call_summary"]) == (cell, cell)


def test_an_analysis_of_any_form() -> None:
    for analysis in ("text", ["list"], {"call_summary": {"a": [1]}}, None):
        call = replace(FULL_CALL, report={"call_analysis": analysis})
        assert row(spreadsheet.line(details(call)))["call_id"] == FULL_CALL.call_id


def test_times() -> None:
    found = row(spreadsheet.line(details(FULL_CALL)))
    assert found["started_at"] == "2023-11-14T22:13:20.000Z"
    assert found["answered_at"] == "2023-11-14T22:13:20.001Z"
