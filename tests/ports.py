"""Free ports on loopback: two test processes on one machine never choose the same one."""

import atexit
import functools
import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.config.settings import LOOPBACK

#: Systems do not choose from these for a connection, nor does `gateway dev` for its servers.
PORTS = range(10_000, 20_000)
#: How many of them a test process has for itself. It chooses a port again only after the others.
BLOCK = 250
#: Bound by the test process that starts servers on their default ports.
LOCK = PORTS.start - 1


def free_port() -> int:
    """A port of this process' block that no socket is bound to. Raises OSError without one."""
    _, ports = _own_block()
    for port in itertools.islice(ports, BLOCK):
        with socket.socket() as probe:
            if _bind(probe, port):
                return port
    raise OSError("all ports of this test process are in use")


@contextmanager
def default_ports(limit: float = 60.0) -> Iterator[None]:
    """While in the context no other test process starts servers on their default ports.

    Raises TimeoutError after `limit` s.
    """
    deadline = time.monotonic() + limit
    with socket.socket() as lock:
        while not _bind(lock, LOCK):
            if time.monotonic() > deadline:
                raise TimeoutError(f"another test process still binds port {LOCK}")
            time.sleep(0.05)
        yield


@functools.cache
def _own_block() -> tuple[socket.socket, Iterator[int]]:
    """The first block whose first port is free; the socket keeps the block until the process ends.

    The block's other ports come in turn, without end.
    """
    for first in PORTS[::BLOCK]:
        claim = socket.socket()
        if _bind(claim, first):
            atexit.register(claim.close)
            return claim, itertools.cycle(range(first + 1, first + BLOCK))
        claim.close()
    raise OSError(f"all blocks of ports from {PORTS.start} to {PORTS.stop} are in use")


def _bind(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((LOOPBACK, port))
    except OSError:
        return False
    return True
