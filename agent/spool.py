"""Reports that wait for the gateway, a file each: jobs leave them, the worker delivers them."""

import json
import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("agent.spool")

#: How long a report is kept, in s, and how many at most: by then nobody asks for it any more.
KEEP_FOR = 3600.0
LIMIT = 1_000


@dataclass(frozen=True)
class Waiting:
    """A report that waits to be POSTed to `url`."""

    url: str
    body: bytes
    _file: Path

    def done(self) -> None:
        """It was accepted."""
        self._file.unlink(missing_ok=True)


class Spool:
    """The reports in `folder`, which is for their owner's eyes only: they hold conversations."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, url: str, body: bytes) -> None:
        """Never raises: a full disk must not end a call; the loss is logged."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if len(list(self._folder.iterdir())) >= LIMIT:
                logger.error("report is lost", extra={"error": f"{LIMIT} wait already"})
                return
            unfinished = self._folder / f"{uuid.uuid4()}.part"
            unfinished.touch(mode=0o600)
            unfinished.write_text(json.dumps({"url": url, "body": body.decode()}))
            unfinished.rename(unfinished.with_suffix(".json"))
        except OSError as error:
            logger.error("report is lost", extra={"error": str(error)})

    def waiting(self) -> Iterator[Waiting]:
        """What waits; what has waited too long is dropped."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                if time.time() - file.stat().st_mtime > KEEP_FOR:
                    file.unlink()
                    logger.error("report is given up", extra={"file": file.name})
                    continue
                content = json.loads(file.read_text())
                yield Waiting(content["url"], content["body"].encode(), file)
            except (OSError, ValueError, KeyError) as error:
                logger.error("report cannot be read", extra={"error": str(error)})
