"""`python -m agent` runs the worker, by livekit-agents' `start`."""

import argparse
import sys
from pathlib import Path

from agent.settings import VARIABLES, read_settings

WORKER = Path(__file__).with_name("worker.py")


def main() -> int:
    """Run the worker until SIGTERM or SIGINT; returns the exit code."""
    width = max(map(len, VARIABLES))
    variables = "\n".join(f"  {name:<{width}}  {text}" for name, text in VARIABLES.items())
    argparse.ArgumentParser(
        prog="agent",
        description="Runs the agent worker, which takes the calls of one agent name at LiveKit.",
        epilog=f"settings, from the environment or .env.local (see .env.example):\n{variables}\n"
        "agent.name and agent.pipeline are also read from config.yaml ($GATEWAY_CONFIG)",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    ).parse_args()
    try:
        read_settings()
    except ValueError as error:
        sys.exit(f"agent: {error}")
    # It takes a second, which --help and a mistake in the settings need not wait for.
    from livekit.agents.__main__ import main as start  # noqa: PLC0415

    return start(["start", str(WORKER)])


if __name__ == "__main__":
    sys.exit(main())
