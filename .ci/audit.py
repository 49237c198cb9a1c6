"""Known vulnerabilities in what constraints.txt pins, by pip-audit; fails only where it found any.

An index that cannot be reached, or that has no advisories, is said in one line and fails nothing.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

PIP_AUDIT = Path(sys.executable).with_name("pip-audit")
ASKED = ["--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json", "-r"]
#: How pip-audit ends where there is no network: by requests' exception, or in its own words.
UNREACHABLE = re.compile(
    r"requests\.exceptions\.(ConnectionError|ProxyError|ConnectTimeout|ReadTimeout)\b"
    r"|Could not connect to PyPI"
)


def audit(constraints: str) -> int:
    """The exit status for `make lint`."""
    ran = subprocess.run(  # noqa: S603 - fixed words, and the file that make names
        [PIP_AUDIT, *ASKED, constraints], capture_output=True, text=True, check=False
    )
    try:
        packages = json.loads(ran.stdout)["dependencies"]
    except ValueError:
        if UNREACHABLE.search(ran.stderr):
            print("pip-audit: the package index cannot be reached, nothing was audited")
            return 0
        print(ran.stderr, file=sys.stderr)
        return 1
    unknown = sum("skip_reason" in package for package in packages)
    if unknown:
        print(f"pip-audit: no advisories to be had for {unknown} of {len(packages)} packages")
    found = [(package, hole) for package in packages for hole in package.get("vulns", [])]
    for package, hole in found:
        fixed = ", ".join(hole["fix_versions"]) or "no version yet"
        named = f"{package['name']} {package['version']}"
        print(f"{named}: {hole['id']}, mended in {fixed}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(audit(sys.argv[1]))
