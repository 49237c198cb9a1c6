"""`python -m agent` runs the worker; options are those of livekit-agents' `start`."""

import sys
from pathlib import Path

from livekit.agents.__main__ import main

from agent.settings import read_settings

WORKER = Path(__file__).with_name("worker.py")

try:
    read_settings()
except ValueError as error:
    sys.exit(f"agent: {error}")
if any(option.startswith("--log-") for option in sys.argv[1:]):
    sys.exit("agent: set GATEWAY__LOGGING__FORMAT and GATEWAY__LOGGING__LEVEL, as for the gateway")
sys.exit(main(["start", str(WORKER), *sys.argv[1:]]))
