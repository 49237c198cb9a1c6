"""A private certificate authority, and a certificate of a server on loopback that it has signed."""

import subprocess
from pathlib import Path

_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1"


def make_certificates(folder: Path) -> Path:
    """Make server.crt and server.key in `folder`; returns the authority's certificate."""
    common = ["-subj", "/CN=localhost", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    ca = ["-keyout", "ca.key", "-out", "ca.crt", "-addext", "basicConstraints=critical,CA:TRUE"]
    own = ["-keyout", "server.key", "-out", "server.crt", "-CA", "ca.crt", "-CAkey", "ca.key"]
    names = ["-addext", _NAMES, "-addext", "basicConstraints=CA:FALSE"]
    for options in (ca, own + names):
        command = ["openssl", "req", "-x509", *common, *options]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "ca.crt"
