"""`python -m bench.behind_name_server serve`: the gateway, with the name server at $NAME_SERVER."""

import os
import sys

from common import resolver
from gateway.cli import main

resolver.NAME_SERVERS = [os.environ["NAME_SERVER"]]
sys.exit(main())
