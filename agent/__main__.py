"""`python -m agent` runs the worker."""

import logging
import sys
from pathlib import Path

from livekit.agents.__main__ import main
from livekit.agents.cli import cli, log

from agent.logs import configure_logs
from agent.settings import read_settings

WORKER = Path(__file__).with_name("worker.py")

try:
    settings = read_settings()
except ValueError as error:
    sys.exit(f"agent: {error}")


def setup_logging(*_: object, **__: object) -> None:
    """In place of the framework's (livekit-agents 1.8.9), which has formats of its own."""
    configure_logs(settings.log_level, settings.log_format)
    log._silence_noisy_loggers()
    logging.getLogger("livekit.agents").setLevel(settings.log_level.upper())


cli.setup_logging = setup_logging  # type: ignore[attr-defined]  # imported there by name
sys.exit(main(["start", str(WORKER), *sys.argv[1:]]))
