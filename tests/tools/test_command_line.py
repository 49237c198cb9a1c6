"""What all commands have in common: help with examples, --json, exit codes, completion."""

import argparse
import asyncio
import json
import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.cli import EXIT_CODES, _parser, main
from gateway.tools.dev.processes import python
from tests.conftest import skip_unless_ci

DOC = Path(__file__).parents[2] / "docs" / "command-line.md"
#: Their output is a log, or has a format of its own.
WITHOUT_JSON = {"serve", "dev", "calls export"}


def leaves(
    parser: argparse.ArgumentParser, name: str = ""
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Each command that does something, by its words."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, command in action.choices.items():
                yield from leaves(command, f"{name} {word}".strip())
            return
    yield name, parser


COMMANDS = dict(leaves(_parser()))


def examples(command: argparse.ArgumentParser) -> list[str]:
    return re.findall(r"^  (?=\S)(.*gateway .*)$", command.epilog or "", re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_has_examples_that_can_be_typed(name: str) -> None:
    shown = examples(COMMANDS[name])
    assert shown
    for example in shown:
        words = shlex.split(re.split(r" [|>] ", example)[0].replace("…", "0"))
        words = words[words.index("gateway") + 1 :]
        _parser().parse_args(words)
        command = [word for word in words if not word.startswith("-")]
        assert name.split(maxsplit=1)[0] in command


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_fits_a_page_that_is_pasted(name: str) -> None:
    assert max(map(len, (COMMANDS[name].epilog or "").splitlines())) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json(name: str) -> None:
    has_json = "--json" in COMMANDS[name].format_help()
    assert has_json is (name not in WITHOUT_JSON)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_documentation_has_every_command(name: str) -> None:
    assert f"`{name}" in DOC.read_text()


def test_the_exit_codes_are_in_the_help_and_in_the_documentation() -> None:
    shown = _parser().format_help()
    page = DOC.read_text()
    for code, text in EXIT_CODES.items():
        assert f"  {code:<5}{text}\n" in shown
        assert f"| {code} | {text} |" in page


def test_a_key_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["key", "n8n", "dispatch", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content.keys() == {"name", "role", "secret", "entry"}
    assert content["entry"].startswith("n8n:dispatch:sha256=")


def test_success_failure_and_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["key", "n8n", "read"]) == 0
    assert main(["key", "n 8 n", "read"]) == 1
    assert capsys.readouterr().err.startswith("gateway: the name must be")
    assert main(["--config", "missing.yaml", "calls", "list"]) == 1
    with pytest.raises(SystemExit) as caught:
        main(["calls"])
    assert caught.value.code == 2


def test_an_interrupted_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gateway.cli.new_key", interrupted)
    assert main(["key", "n8n", "read"]) == 130


@pytest.mark.server
async def test_ctrl_c_is_how_watching_ends(tmp_path: Path) -> None:
    server = await asyncio.start_server(_listening, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.timeout(60):
        process = await asyncio.create_subprocess_exec(
            *python("-m", "gateway", "calls", "watch", "--url", f"http://127.0.0.1:{port}"),
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(DOC.parents[1])},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # Whoever runs the tests in the background has them ignore it, and all they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        assert process.stdout
        await process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")


async def _listening(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A stream with one event that goes on."""
    await reader.readuntil(b"\r\n\r\n")
    call = {
        "call_id": "call-1",
        "direction": "inbound",
        "call_status": "ongoing",
        "disconnection_reason": None,
        "from_number": "",
        "to_number": "",
        "agent_name": "",
        "account_code": "",
    }
    data = json.dumps({"event": "call_ongoing", "call": call})
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    writer.write(f"{head}event: call\nid: 1\ndata: {data}\n\n".encode())
    await reader.read()
    writer.close()


@pytest.mark.server
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gateway ", {"serve", "dev", "setup", "doctor", "simulate", "calls", "key"}),
        ("gateway calls list --reason dial_b", {"dial_busy"}),
        ("gateway key n8n ", {"view", "read", "dispatch", "admin"}),
    ],
)
async def test_bash_completes_a_line(line: str, expected: set[str]) -> None:
    """After what docs/command-line.md says to put into ~/.bashrc."""
    folder = Path(sys.executable).parent
    if not (folder / "gateway").exists():
        skip_unless_ci("the package is not installed: there is no command `gateway`")
    (shown,) = re.findall(r"^eval .*$", DOC.read_text(), re.MULTILINE)
    script = f"""
        {shown.replace(".venv/bin", str(folder))}
        COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)} COMP_TYPE=9
        _python_argcomplete gateway
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    env = {"PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(DOC.parents[1])}
    process = await asyncio.create_subprocess_exec(
        "bash", "-c", script, env=env, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert {word.strip() for word in output.decode().splitlines()} >= expected
