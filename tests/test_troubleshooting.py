"""docs/troubleshooting.md: what it says that commands print, they print."""

import ast
import re
from collections.abc import Iterator

from tests.docs_pages import ROOT

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
#: Code in the first cell of a row.
_FIRST_CELL = re.compile(r"^\| ([^|]*`[^|]*) \|", re.MULTILINE)
#: What stands for a part that differs, in the page and in the templates of the code.
GAP = "…"


def quoted() -> list[str]:
    """The sentences that rows begin with: codes and settings are no sentences."""
    spans = [span for cell in _FIRST_CELL.findall(PAGE) for span in re.findall(r"`([^`]+)`", cell)]
    return sorted({span for span in spans if span.count(" ") >= 2})


def templates() -> Iterator[str]:
    """Every text in the code, with a gap for what is put into it."""
    for folder in ("gateway", "agent", "common"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                match node:
                    case ast.JoinedStr(values=values):
                        yield "".join(_constant(value) for value in values)
                    case ast.Constant(value=str(text)):
                        yield re.sub(r"{\d*}", GAP, text)


def _constant(node: ast.expr) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else GAP


def test_commands_print_these_sentences() -> None:
    texts = [" ".join(text.split()) for text in templates()]
    parts = [part for sentence in quoted() for part in re.split(r"; (?=nothing|the )", sentence)]
    assert [part for part in parts if not any(map(_pattern(part).search, texts))] == []


def _pattern(part: str) -> re.Pattern[str]:
    words = [re.escape(piece.strip()) for piece in part.split(GAP) if piece.strip()]
    return re.compile(r".*?".join(words))


def test_sentences_are_found() -> None:
    assert len(quoted()) > 25
