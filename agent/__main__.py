"""`python -m agent` runs the worker, by livekit-agents' `start`; its commands need no LiveKit."""

import argparse
import gc
import sys
from collections.abc import Sized
from pathlib import Path

from agent.agents_file import check_agents
from agent.profiles.checks import warnings
from agent.profiles.loader import AgentsFileInvalid, read_text
from agent.profiles.model_access import ModelAccess, model_access
from agent.profiles.profile import AgentsFile
from agent.settings import VARIABLES, agents_file, environment, read_settings

WORKER = Path(__file__).with_name("worker.py")


def main() -> int:
    """Run the worker until SIGTERM or SIGINT, or a command; returns the exit code."""
    arguments = _parser().parse_args()
    match arguments.command:
        case "check":
            return check(arguments.file)
        case "conversation":
            return conversation(arguments.file, in_json=arguments.json)
    return run()


def run() -> int:
    try:
        settings = read_settings()
    except ValueError as error:
        sys.exit(f"agent: {error}")
    if settings.pipeline == "voice" and not _checked(settings.agents_file, settings.models):
        return 1
    # It takes a second, which --help and a mistake in the settings need not wait for.
    from livekit.agents.__main__ import main as start  # noqa: PLC0415

    return start(["start", str(WORKER)])


def check(file: Path | None) -> int:
    """Print what `file` has, or each of its problems; without one AGENTS_FILE, or agents.yaml."""
    env = environment()
    path = file or agents_file(env)
    agents = _checked(path, model_access(env, env.get("LIVEKIT_URL", "")))
    if agents is None:
        return 1
    profiles, routes = (_count(agents.profiles, "profile"), _count(agents.routes, "route"))
    sys.stdout.write(f"{_name(path)}: ok, {profiles}, {routes}\n")
    return 0


def conversation(file: Path, *, in_json: bool = False) -> int:
    """Hold the conversation of `file`: see agent/scenarios/command.py."""
    try:
        settings = read_settings(needs_livekit=False)
    except ValueError as error:
        sys.exit(f"agent: {error}")
    from agent.scenarios.command import run  # noqa: PLC0415 - see above

    return run(file, settings, in_json=in_json)


def _checked(path: Path | None, access: ModelAccess) -> AgentsFile | None:
    """None, with all problems on stderr, if the file cannot be used; warnings are there, too."""
    try:
        agents = check_agents(read_text(path), environment(), access)
    except AgentsFileInvalid as error:
        sys.stderr.writelines(f"{_name(path)}: {problem}\n" for problem in error.problems)
        return None
    sys.stderr.writelines(f"{_name(path)}: warning: {warning}\n" for warning in warnings(agents))
    return agents


def _name(path: Path | None) -> str:
    return str(path) if path else "no agents.yaml, so the built-in profile"


def _count(items: Sized, noun: str) -> str:
    return f"{len(items)} {noun}{'' if len(items) == 1 else 's'}"


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VARIABLES))
    variables = "\n".join(f"  {name:<{width}}  {text}" for name, text in VARIABLES.items())
    parser = argparse.ArgumentParser(
        prog="agent",
        description="Runs the agent worker, which takes the calls of one agent name at LiveKit.",
        epilog=f"settings, from the environment or .env.local (see .env.example):\n{variables}\n"
        "agent.name and agent.pipeline are also read from config.yaml ($GATEWAY_CONFIG)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    checks = commands.add_parser(
        "check", help="check agents.yaml, and what it needs, and do no more"
    )
    checks.add_argument("file", nargs="?", type=Path, help="default: AGENTS_FILE, else agents.yaml")
    conversations = commands.add_parser(
        "conversation",
        help="hold a conversation in text, and check what the agent says and does",
        description="Holds the conversation of FILE in text, with the agent's own model and tools. "
        "Exit code: 0 if all expectations hold, 1 if not, 2 if it cannot be held.",
    )
    conversations.add_argument("file", metavar="FILE", type=Path)
    conversations.add_argument("--json", action="store_true", help="print a JSON object a line")
    return parser


if __name__ == "__main__":
    # Modules make no garbage while they load, and to look for it takes a quarter of that. What then
    # goes on for long enables it: agent/worker.py, agent/scenarios/command.py.
    gc.disable()
    sys.exit(main())
