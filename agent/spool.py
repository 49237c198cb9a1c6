"""Reports that the gateway has not accepted: jobs store them as files, the worker sends them."""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("agent.spool")

#: How long a report is stored, in s, and how many at most.
MAX_AGE = 3600.0
MAX_REPORTS = 1_000


@dataclass(frozen=True)
class StoredReport:
    """A report for `url`."""

    url: str
    body: bytes
    _file: Path

    def delete(self) -> None:
        """It was accepted or refused."""
        self._file.unlink(missing_ok=True)


class Spool:
    """The reports in `folder`, which only its owner may read: they hold conversations."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def store(self, url: str, body: bytes) -> None:
        """Never raises: a full disk ends no call; the loss is logged."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if len(list(self._folder.iterdir())) >= MAX_REPORTS:
                logger.error(
                    "report.lost", extra={"error": f"{MAX_REPORTS} reports are stored already"}
                )
                return
            unfinished = self._folder / f"{uuid.uuid4()}.part"
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps({"url": url, "body": body.decode()}))
            unfinished.rename(unfinished.with_suffix(".json"))
        except OSError as error:
            logger.error("report.lost", extra={"error": str(error)})

    def stored(self) -> Iterator[StoredReport]:
        """All of them; those older than MAX_AGE are deleted."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                if time.time() - file.stat().st_mtime > MAX_AGE:
                    file.unlink()
                    logger.error("report.expired", extra={"file": file.name})
                    continue
                content = json.loads(file.read_text())
                yield StoredReport(content["url"], content["body"].encode(), file)
            except (OSError, ValueError, KeyError) as error:
                logger.error("report.unreadable", extra={"error": str(error)})
