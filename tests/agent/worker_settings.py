"""The settings of a worker in tests."""

from pathlib import Path

from agent.settings import WorkerSettings

KEY, SECRET = "key", "a-secret-of-at-least-thirty-two-bytes"


def settings_for(spool: Path, key: str = KEY, secret: str = SECRET) -> WorkerSettings:
    return WorkerSettings("agent", key, secret, "", 0, 1.0, 1, spool)
