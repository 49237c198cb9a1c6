"""README and the pages of docs/: their links, and the commands in their code blocks."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_BLOCK = re.compile(r"^( *)```(?:bash|sh|shell|console)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_VARIABLE = re.compile(r"[A-Z_0-9]+=.*", re.DOTALL)
_PYTHON = re.compile(r"(?:\.venv/bin/)?python -m (gateway|agent|bench)\b")


@dataclass(frozen=True)
class Command:
    """A command of a page; `text` begins with `gateway`, `agent` or the program's name."""

    page: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def commands() -> list[Command]:
    """Every command, without the variables before it and without comments."""
    return [
        Command(page.relative_to(ROOT).as_posix(), text)
        for page in PAGES
        for _, block in _BLOCK.findall(page.read_text())
        for text in _commands_in(block)
    ]


def _commands_in(block: str) -> Iterator[str]:
    """Commands may go on in the next line: after a backslash, or within quotes."""
    pending = ""
    for line in block.replace("\\\n", " ").splitlines():
        pending = f"{pending}\n{line}" if pending else line
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:
            continue
        text, pending = pending, ""
        while words and _VARIABLE.fullmatch(words[0]):
            words.pop(0)
        if words:
            yield _PYTHON.sub(r"\1", _without_comment(text).strip())


def _without_comment(text: str) -> str:
    """Without variables before the command, too."""
    shown = re.sub(r"(?<=\s)#\s.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"^(\s*[A-Z_0-9]+=\S*\s+)+", "", shown)


def links(page: Path) -> list[str]:
    """Where the links of a page lead, code blocks left out."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    return [target for target in _LINK.findall(prose) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    heads = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
