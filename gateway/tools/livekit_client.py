"""`make livekit-client` writes gateway/web/static/livekit-client.js from npm's livekit-client."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.web.static_files import FOLDER

FILE = FOLDER / "livekit-client.js"
#: Has package-lock.json, and after `npm ci` what it names.
NPM = FOLDER.parent / "npm"
PACKAGE = "livekit-client"
_SOURCE_MAP = "\n//# sourceMappingURL="


def made(npm: Path = NPM) -> str:
    """The package as one script, after its name, its licence and those of what it bundles.

    Raises OSError if npm has not installed the packages.
    """
    script = (npm / "node_modules" / PACKAGE / "dist" / "livekit-client.umd.js").read_text()
    return f"{header(npm)}{_licences(npm)}*/\n{script.partition(_SOURCE_MAP)[0]}\n"


def header(npm: Path = NPM) -> str:
    """The first lines: which version of the package, with the checksum that npm publishes."""
    package = _packages(npm)[PACKAGE]
    return (
        f"/*! {PACKAGE} {package['version']} {package['license']}\n"
        f"npm: {package['integrity']}\n"
        "Made by `make livekit-client`. Licences of it and of what it bundles:\n"
    )


def _packages(npm: Path) -> Mapping[str, Mapping[str, Any]]:
    """The package and what it needs in a browser, by name."""
    locked = json.loads((npm / "package-lock.json").read_text())["packages"]
    named = {path.removeprefix("node_modules/"): package for path, package in locked.items()}
    return {name: it for name, it in named.items() if name and not name.startswith("@types/")}


def _licences(npm: Path) -> str:
    """Each text once, after the names of the packages that come with it."""
    names: dict[str, list[str]] = {}
    for name, package in _packages(npm).items():
        text = "\n\n".join(_texts(npm / "node_modules" / name))
        names.setdefault(text, []).append(f"{name} {package['version']} {package['license']}")
    parts = [f"\n---- {', '.join(them)}\n{text}\n" for text, them in names.items()]
    return "".join(parts).replace("*/", "* /")


def _texts(package: Path) -> Iterator[str]:
    for path in sorted(package.iterdir()):
        if path.name.upper().startswith(("LICENSE", "LICENCE", "NOTICE")):
            yield path.read_text().strip()


if __name__ == "__main__":
    FILE.write_text(made())
