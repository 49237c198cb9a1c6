"""The documentation: links lead somewhere, commands exist and are run by a test, or listed."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.__main__ import _parser as agent_parser
from gateway.api.routes import ENDPOINTS
from gateway.cli import _parser as gateway_parser
from tests.docs_pages import PAGES, ROOT, Command, anchors, commands, links

#: What a command begins with, and the test that runs it; of several, the longest beginning counts.
RUN_BY: Mapping[str, str] = {
    "agent": "tests/livekit/test_whole_path.py",
    "agent check": "tests/agent/test_agents_file.py",
    "curl": "tests/api/test_endpoints.py",
    "curl -i": "tests/monitor/test_readiness.py",
    "curl -H": "tests/api/test_history.py",
    'curl -X POST -H "X-API-Key: $KEY"': "tests/api/test_history.py",
    'curl -X POST -H "X-API-Key: $API_KEY"': "tests/callbacks/test_retries.py",
    "gateway calls": "tests/tools/calls/test_command.py",
    "gateway calls watch": "tests/tools/calls/test_watch.py",
    "gateway doctor": "tests/tools/doctor/test_command.py",
    "gateway doctor --offline": "tests/tools/test_commands.py",
    "gateway key": "tests/tools/test_command_line.py",
    "gateway serve": "tests/livekit/test_stopping.py",
    "gateway setup": "tests/tools/setup/test_command.py",
    "gateway setup --jambonz": "tests/tools/setup/test_command.py",
    "gateway simulate conversation": "tests/tools/simulate/test_conversation.py",
    "gateway simulate inbound": "tests/livekit/test_dev.py",
    "make demo": "tests/livekit/test_dev.py",
    "make demo VOICE=1": "tests/tools/simulate/test_spoken.py",
    "make run": "tests/livekit/test_dev.py",
    "make soak": "tests/chaos/test_chaos.py",
    "eval": "tests/tools/test_command_line.py",
    # docs/operations.md: the restart of one gateway after the other
    "for port in 8000 8001": "tests/several/test_restarts.py",
    "until curl": "tests/several/test_restarts.py",
    # docs/deployment.md: its steps with systemd
    "cp -r": "tests/deploy/test_systemd.py",
    "cp deploy/systemd": "tests/deploy/test_systemd.py",
    "install -m": "tests/deploy/test_systemd.py",
    "systemctl": "tests/deploy/test_systemd.py",
    "systemd-": "tests/deploy/test_systemd.py",
    "export OTEL_": "tests/telemetry/test_exporting.py",
    "make n8n-node": "tests/n8n/test_node.py",
}
_ELSEWHERE = "docs/deployment.md, What was not tried: there is none where this was written"
#: What a command begins with that no test runs, and why.
NOT_RUN: Mapping[str, str] = {
    "bench": "measures for minutes; by hand, and docs/benchmarks.md has the results",
    "make bench": "the same",
    "make install": "installs from the internet for minutes; tests/test_makefile.py has its steps",
    "make -C /opt/gateway install": "the same",
    "pip install": "the same",
    "docker": _ELSEWHERE,
    "docker compose": f"{_ELSEWHERE}; tests/deploy/test_compose.py has what the file says",
    "heroku": _ELSEWHERE,
    "git push heroku": _ELSEWHERE,
    "kubectl": _ELSEWHERE,
    "cat /etc/ssl": "two files as one; tests/common/test_private_authority.py uses such a file",
    "cp .env.example": "a copy of a file, which tests/config/test_documented.py reads",
    "echo": "a line of a file",
    "for name in": "lines of a file",
    "mkdir": "a folder",
    "npm install": "tests/n8n/node_package.py puts the package where this does",
    "done": "the end of a loop",
}
COMMANDS = commands()


def entry(command: Command, entries: Mapping[str, str]) -> str:
    """The longest beginning of the command that is listed; "" for none."""
    found = [it for it in entries if f"{command.text} ".startswith((f"{it} ", f"{it}-", it))]
    return max(found, key=len, default="")


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: f"{it.page}: {it.text[:60]}")
def test_a_command_is_run_by_a_test_or_is_listed_as_not_run(command: Command) -> None:
    run, not_run = entry(command, RUN_BY), entry(command, NOT_RUN)
    assert run or not_run, (
        "add it to RUN_BY, with the test that runs it, or to NOT_RUN with a reason"
    )


def test_the_lists_have_no_more_than_the_pages() -> None:
    for entries in (RUN_BY, NOT_RUN):
        used = {entry(command, entries) for command in COMMANDS}
        assert entries.keys() - used == set()
    assert [path for path in RUN_BY.values() if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("command", COMMANDS, ids=lambda it: f"{it.page}: {it.text[:60]}")
def test_a_command_exists(command: Command) -> None:
    match command.words:
        case ["gateway", *arguments]:
            gateway_parser().parse_args(arguments)
        case ["agent", *arguments]:
            agent_parser().parse_args(arguments)
        case ["bench", *names]:
            shown = (ROOT / "bench" / "__main__.py").read_text()
            assert set(names) <= set(re.findall(r'"(\w+)": measure_', shown))
        case ["make", *words]:
            (target,) = [it for it in words if not re.match(r"-|/|[A-Z_]+=", it)]
            assert re.search(f"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
        case ["cp" | "install", *files, _]:
            for file in (it for it in files if re.match(r"[.\w]", it) and not it.isdecimal()):
                assert (ROOT / file).exists(), file
        case ["curl", *words]:
            (url,) = [it for it in words if it.startswith(("http", "$GATEWAY/"))]
            assert _is_served("POST" if {"POST", "-d"} & set(words) else "GET", url)
        case [program, *_]:
            assert program not in {"python", ".venv/bin/python"}, "not of a module of ours"


def _is_served(method: str, url: str) -> bool:
    """Whether an endpoint, or the worker's health endpoint, has this path."""
    path = re.sub(r"^(https?://[^/]+|[$]GATEWAY)", "", url).partition("?")[0]
    patterns = {re.sub(r"{\w+}", "[^/]+", it.path) for it in ENDPOINTS if it.method == method} | {
        "/"
    }
    return any(re.fullmatch(pattern, path) for pattern in patterns)


@pytest.mark.parametrize("page", PAGES, ids=lambda it: it.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target
