"""`python -m agent` runs the worker; options such as `--log-format` are the framework's."""

import sys
from pathlib import Path

from livekit.agents.__main__ import main

from agent.settings import read_settings

WORKER = Path(__file__).with_name("worker.py")

try:
    read_settings()
except ValueError as error:
    sys.exit(f"agent: {error}")
sys.exit(main(["start", str(WORKER), *sys.argv[1:]]))
