"""docs/deployment.md: its commands and links. Those of systemd are run in test_systemd.py."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.__main__ import _parser as agent_parser
from gateway.cli import _parser as gateway_parser

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "deployment.md").read_text()
PAGES = [DOCS / "deployment.md", DOCS / "operations.md"]
#: Those that the page says were not run, and those of the system.
OTHERS = {"docker", "heroku", "kubectl", "git", "for", "echo", "done", "mkdir", "install", "cp"}


def commands() -> Iterator[str]:
    for block in re.findall(r"^ *```bash\n(.*?)^ *```", PAGE, re.MULTILINE | re.DOTALL):
        yield from filter(None, map(str.strip, block.replace("\\\n", " ").splitlines()))


@pytest.mark.parametrize("command", list(dict.fromkeys(commands())))
def test_a_command_is_there(command: str) -> None:
    words = shlex.split(command, comments=True)
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words.pop(0)  # a variable: tests/config/test_documented.py
    match words:
        case []:
            pass
        case ["make", *_, target]:
            assert re.search(f"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case [".venv/bin/python" | "python", "-m", "gateway", *arguments]:
            gateway_parser().parse_args(arguments)
        case [".venv/bin/python" | "python", "-m", "agent", *arguments]:
            agent_parser().parse_args(arguments)
        case [program, *_]:
            assert program in OTHERS or program.startswith("systemd-") or program == "systemctl"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        if target.startswith("https://"):
            continue
        assert file.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            names = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in names, target
