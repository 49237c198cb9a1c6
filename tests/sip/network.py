"""A network namespace with an address of its own, joined to this machine by a pair of veths.

livekit-sip offers no loopback address to LiveKit, so the two need a network between them even on
one machine. It is gone when the context is left; leftovers of a run that was killed are not in the
way, since names and addresses are free ones. Needs root.
"""

import itertools
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

_numbers = map("abcdefgh".__getitem__, itertools.count())


class NoNetwork(Exception):
    """Namespaces cannot be made here; the text says why."""


@dataclass(frozen=True)
class Network:
    """`near` is this machine's address, `far` that of what runs in `namespace`."""

    namespace: str
    subnet: str
    near: str
    far: str

    def inside(self, *command: str) -> list[str]:
        """`command`, to be run in the namespace."""
        return ["ip", "netns", "exec", self.namespace, *command]


@contextmanager
def network() -> Iterator[Network]:
    """A network between this machine and a namespace. Raises NoNetwork."""
    prefix = _free_prefix()
    name = f"sip{os.getpid()}{next(_numbers)}"
    made = Network(name, f"{prefix}.0/24", f"{prefix}.1", f"{prefix}.2")
    near_end, far_end = f"{name}n", f"{name}f"
    with ExitStack() as undo:
        _ip("netns", "add", name)
        undo.callback(_ip, "netns", "delete", name)
        _ip("link", "add", near_end, "type", "veth", "peer", "name", far_end, "netns", name)
        # Deleting a namespace takes its veths along only some time later, this does it now.
        undo.callback(_ip, "link", "delete", near_end)
        _ip("address", "add", f"{made.near}/24", "dev", near_end)
        _ip("link", "set", near_end, "up")
        _ip("-n", name, "address", "add", f"{made.far}/24", "dev", far_end)
        _ip("-n", name, "link", "set", far_end, "up")
        _ip("-n", name, "link", "set", "lo", "up")
        yield made


def _free_prefix() -> str:
    taken = set(re.findall(r"\binet (\d+\.\d+\.\d+)\.", _ip("-o", "-4", "address")))
    return next(p for third in range(256) if (p := f"10.77.{third}") not in taken)


def _ip(*words: str) -> str:
    try:
        done = subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise NoNetwork("there is no `ip` command") from None
    except subprocess.CalledProcessError as error:
        why = error.stderr.strip().splitlines()[-1:] or [f"exit code {error.returncode}"]
        raise NoNetwork(f"`ip {' '.join(words)}`: {why[0]}") from error
    return done.stdout
