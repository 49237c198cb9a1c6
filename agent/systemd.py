"""Tells systemd that the worker is ready (sd_notify(3)), if systemd started it with Type=notify."""

import os
import socket


def notify_ready() -> None:
    """Raises OSError if the socket that systemd named does not exist."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        # An address in the abstract namespace begins with @.
        sock.sendto(b"READY=1", address.replace("@", "\0", 1) if address[0] == "@" else address)
