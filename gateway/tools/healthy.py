"""`python -m gateway.tools.healthy`: whether the gateway or the worker of this container is ready.

The Dockerfile's HEALTHCHECK. Exit code 0 if one of them is, and the other does not run here.
"""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

TIMEOUT = 4.0


def main() -> int:
    """Ask both; returns the exit code."""
    answers = [answer for answer in map(_answer, _urls(os.environ)) if answer]
    sys.stdout.write("\n".join(answers) or "neither a gateway nor a worker answers")
    return 0 if answers and all(answer.startswith("200") for answer in answers) else 1


def _urls(env: Mapping[str, str]) -> list[str]:
    port, agent_port = env.get("PORT") or "8000", env.get("AGENT_HTTP_PORT") or "8081"
    return [f"http://127.0.0.1:{port}/readyz", f"http://127.0.0.1:{agent_port}/"]


def _answer(url: str) -> str:
    """The status and the URL; "" if nothing listens there."""
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 - on loopback
            return f"{response.status} {url}"
    except urllib.error.HTTPError as error:
        return f"{error.code} {url}"
    except OSError as error:
        cause = getattr(error, "reason", error)
        return "" if isinstance(cause, ConnectionRefusedError) else f"no answer {url}"


if __name__ == "__main__":
    sys.exit(main())
