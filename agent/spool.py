"""Reports that the gateway has not accepted: jobs store them as files, the worker sends them."""

import contextlib
import json
import logging
import stat
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

logger = logging.getLogger("agent.spool")

#: How long a file is stored, in s, how many reports at most, and how many bytes of them.
MAX_AGE = 3600.0
MAX_REPORTS = 1_000
MAX_BYTES = 64 * 1_048_576
#: The size of one report's file at most, in bytes: the gateway takes 1 MiB (limits.max_body_bytes),
#: and JSON in JSON may be escaped.
MAX_REPORT_BYTES = 4 * 1_048_576
#: After how long a file that is still being written was left behind by a process that died, in s.
ABANDONED_AFTER = 60.0
#: How the names of files end that are no reports.
SET_ASIDE = ".unreadable"


class NotAReport(Exception):
    """A file in the folder is not what `store()` writes; the text says why, without its content."""


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
        content = json.dumps({"url": url, "body": body.decode()})
        unfinished = self._folder / f"{uuid.uuid4()}.part"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sizes = self._sizes()
            if len(sizes) >= MAX_REPORTS or sum(sizes) + len(content) > MAX_BYTES:
                logger.error("report.lost", extra={"error": f"{len(sizes)} reports are stored"})
                return
            unfinished.touch(mode=0o600)
            unfinished.write_text(content)
            unfinished.rename(unfinished.with_suffix(".json"))
        except OSError as error:
            logger.error("report.lost", extra={"error": str(error)})
            with contextlib.suppress(OSError):
                unfinished.unlink(missing_ok=True)

    def stored(self) -> Iterator[StoredReport]:
        """All of them. What is no report is set aside; everything too old is deleted afterwards.

        So each is tried at least once, also if the machine's clock was set forward.
        """
        for file in sorted(self._folder.glob("*.json")):
            try:
                yield _read(file)
            except FileNotFoundError:
                continue
            except (NotAReport, OSError) as error:
                logger.error("report.unreadable", extra={"file": file.name, "error": str(error)})
                with contextlib.suppress(OSError):
                    file.rename(file.with_suffix(SET_ASIDE))
        self._clean_up()

    def count(self) -> int:
        """How many wait to be delivered."""
        return len(self._sizes())

    def _sizes(self) -> list[int]:
        """Of all reports; the worker may be delivering, deleting or setting them aside."""
        sizes = []
        for file in self._folder.glob("*.json"):
            with contextlib.suppress(FileNotFoundError):
                sizes.append(file.lstat().st_size)
        return [size for size in sizes if size <= MAX_REPORT_BYTES]

    def _clean_up(self) -> None:
        for file in self._folder.glob("*"):
            with contextlib.suppress(OSError):
                limit = ABANDONED_AFTER if file.suffix == ".part" else MAX_AGE
                if time.time() - file.lstat().st_mtime > limit:
                    file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
                    if file.suffix == ".json":
                        logger.error("report.expired", extra={"file": file.name})


def _read(file: Path) -> StoredReport:
    """Raises NotAReport, OSError."""
    about = file.lstat()
    if not stat.S_ISREG(about.st_mode):
        raise NotAReport("it is not a file")
    if about.st_size > MAX_REPORT_BYTES:
        raise NotAReport(f"it has more than {MAX_REPORT_BYTES} bytes")
    try:
        content = json.loads(file.read_bytes())
        url, body = content["url"], content["body"].encode()
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # Without the error's text, which may quote the content.
        raise NotAReport(f"it does not contain a report: {type(error).__name__}") from None
    if not isinstance(url, str):
        raise NotAReport("it does not contain a report: its url is no text")
    return StoredReport(url, body, file)
