"""A network namespace with its own address, connected to this machine by a pair of veths.

livekit-sip offers LiveKit no loopback address, so the two need a network between them even on one
machine. It is deleted when the context ends. What a killed run has left does no harm: each network
gets a name and addresses that are free. Needs root.
"""

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_numbers = itertools.count()


class NoNetwork(Exception):
    """Network namespaces cannot be created here; the text says why."""


@dataclass(frozen=True)
class Network:
    """`host_address` is this machine's, `address` that of the processes in `namespace`."""

    namespace: str
    subnet: str
    host_address: str
    address: str

    def inside(self, *command: str) -> list[str]:
        """The command that runs `command` in the namespace."""
        return ["ip", "netns", "exec", self.namespace, *command]


@contextmanager
def network() -> Iterator[Network]:
    """A network between this machine and a namespace. Raises NoNetwork."""
    prefix = _free_prefix()
    # The name of a network interface has at most 15 characters.
    name = f"sip{os.getpid()}-{next(_numbers)}"
    network = Network(name, f"{prefix}.0/24", f"{prefix}.1", f"{prefix}.2")
    host_end, namespace_end = f"{name}h", f"{name}n"
    with ExitStack() as undo:
        _ip("netns", "add", name)
        undo.callback(_ip, "netns", "delete", name)
        _ip("link", "add", host_end, "type", "veth", "peer", "name", namespace_end, "netns", name)
        # The deletion of a namespace deletes its veths some time later, this deletes them now.
        undo.callback(_ip, "link", "delete", host_end)
        _ip("address", "add", f"{network.host_address}/24", "dev", host_end)
        _ip("link", "set", host_end, "up")
        _ip("-n", name, "address", "add", f"{network.address}/24", "dev", namespace_end)
        _ip("-n", name, "link", "set", namespace_end, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield network


def _free_prefix() -> str:
    used = set(re.findall(r"\binet (\d+\.\d+\.\d+)\.", _ip("-o", "-4", "address")))
    return next(p for third in range(256) if (p := f"10.77.{third}") not in used)


def _ip(*arguments: str) -> str:
    try:
        result = subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise NoNetwork("the command `ip` is not installed") from None
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        raise NoNetwork(f"`ip {' '.join(arguments)}`: {why[0]}") from error
    return result.stdout
