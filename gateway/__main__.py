# PYTHON_ARGCOMPLETE_OK
"""`python -m gateway`."""

import sys

from gateway.cli import main

sys.exit(main())
