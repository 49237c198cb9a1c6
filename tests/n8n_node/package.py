"""The node package in `n8n-node/`: npm's commands in it, and its node without n8n."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.conftest import skip_unless_ci

FOLDER = Path(__file__).parents[2] / "n8n-node"
DIST = FOLDER / "dist"
#: In s; a build takes 3 on an idle machine.
TIMEOUT = 120

JSON = dict[str, Any]


def npm_run(script: str) -> str:
    """What the script of package.json prints. Raises AssertionError with it if the script fails."""
    npm = shutil.which("npm")
    if not npm or not (FOLDER / "node_modules").is_dir():
        skip_unless_ci("the node package needs Node and npm: install them, then `make test`")
    process = subprocess.run(
        [npm, "run", "--silent", script],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


async def execute(*setups: JSON) -> list[list[JSON]]:
    """For each setup the `json` of the items that the built node returns.

    A setup is as in n8n-node/test/context.mjs.
    """
    return json.loads(await _node("test/run.mjs", stdin=json.dumps(setups)))  # type: ignore[no-any-return]


async def exported(module: str, name: str) -> Any:
    """What a built module exports, as far as JSON has it."""
    expression = f"JSON.stringify(require('./dist/{module}').{name})"
    return json.loads(await _node("--print", expression))


async def _node(*arguments: str, stdin: str = "") -> str:
    process = await asyncio.create_subprocess_exec(
        "node",
        *arguments,
        cwd=FOLDER,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(stdin.encode()), TIMEOUT)
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()
