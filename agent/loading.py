"""The server from which jobs' processes are forked imports this first, and the framework after it.

Modules make no garbage while they load, and to look for it takes a fifth of that.
"""

import gc
import os

gc.disable()
os.register_at_fork(after_in_child=gc.enable)
