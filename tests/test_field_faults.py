"""Each fault that was seen in the field has a test; see the `field` marker."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent

#: How many faults each letter has.
FAULTS = {"A": 8, "B": 21, "C": 13, "D": 12, "E": 7, "F": 8, "G": 6, "H": 10, "J": 10}


def test_each_fault_has_a_test() -> None:
    known = {f"{letter}{n}" for letter, count in FAULTS.items() for n in range(1, count + 1)}
    marked = {fault for path in TESTS.rglob("test_*.py") for fault in marked_in(path)}
    assert marked == known


def marked_in(path: Path) -> Iterator[str]:
    """The arguments of each `pytest.mark.field(…)` in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.field":
            yield from (ast.literal_eval(argument) for argument in node.args)
