"""The node package `n8n-node/`, built, packed, and put where n8n puts a community node."""

import subprocess
import tarfile
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "n8n-node"
NAME = "n8n-nodes-jambonz-livekit-gateway"
CALL = f"{NAME}.jambonzLivekitGateway"
TRIGGER = f"{NAME}.jambonzLivekitGatewayTrigger"
CREDENTIAL = "jambonzLivekitGatewayApi"
#: How long npm may take for a step, in s.
LIMIT = 300.0


def build(folder: Path) -> Path:
    """Build the package and pack it as for npm; returns the tarball in `folder`."""
    _npm("run", "build")
    _npm("pack", "--pack-destination", str(folder))
    (tarball,) = folder.glob("*.tgz")
    return tarball


def install(tarball: Path, user_folder: Path) -> None:
    """Unpack the package as n8n's page *Community nodes* does; n8n must start afterwards."""
    target = user_folder / ".n8n" / "nodes" / "node_modules" / NAME
    target.mkdir(parents=True)
    with tarfile.open(tarball) as packed:
        for member in packed.getmembers():
            member.name = member.name.removeprefix("package/")
            packed.extract(member, target, filter="data")


def _npm(*arguments: str) -> None:
    result = subprocess.run(
        ["npm", "--silent", *arguments],
        cwd=SOURCE,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
