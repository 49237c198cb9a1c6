"""Where recordings go: a folder, or a URL by HTTP PUT; and how long they stay in the folder."""

import asyncio
import logging
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import stamina
from yarl import URL

from agent.profiles.hosts import HostPolicy
from agent.voice.requests import session_to
from common.http_failures import failure_of, reason_of
from common.urls import UrlRejected

logger = logging.getLogger("agent.recording")

# stamina's own hooks would log the URL, and a presigned one's query is a key.
stamina.instrumentation.set_on_retry_hooks([])

SUFFIX = ".ogg"
FAILURES = (aiohttp.ClientError, TimeoutError, OSError)
#: How long one connection, and the server's next bytes, may take, in s.
CONNECT_TIMEOUT = 5.0
READ_TIMEOUT = 30.0
ATTEMPTS = 5
#: Files and folders that one look for old recordings visits at most, and how deep it goes.
MAX_VISITED = 20_000
MAX_DEPTH = 3
DAY = 86_400.0


def store(file: Path, folder: Path, call_id: str) -> Path:
    """Copy `file` into `folder`, whole or not at all, for its owner to read. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9._-]", "_", call_id).lstrip(".") or "call"
    unfinished = folder / f".{name}-{uuid.uuid4().hex}.part"
    try:
        with file.open("rb") as source, _create(unfinished) as target:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        return _publish(unfinished, folder, name)
    finally:
        unfinished.unlink(missing_ok=True)


async def put(file: Path, url: str, hosts: HostPolicy, limit: float) -> str:
    """PUT `file` to `url` within `limit` s; returns why it failed, "" if it did not."""
    try:
        async with asyncio.timeout(limit):
            await _put_with_retries(file, url, hosts)
    except (*FAILURES, UrlRejected) as error:
        text = _describe(error, limit)
        logger.error("recording.failed", extra={"error": text})
        return text
    logger.info("recording.uploaded", extra={"host": urlsplit(url).hostname})
    return ""


def without_query(url: str) -> str:
    """A presigned URL's query is its key."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def delete_old(folders: Mapping[str, int]) -> int:
    """Delete recordings older than the days that each folder keeps them; returns how many.

    A folder may have `{{variables}}`: then all below the part before them is looked at.
    """
    deleted, left = 0, MAX_VISITED
    for folder, days in folders.items():
        for file in _recordings(_root(folder), MAX_DEPTH if "{{" in folder else 0):
            left -= 1
            if left < 0:
                return deleted
            try:
                if time.time() - file.lstat().st_mtime > days * DAY:
                    file.unlink()
                    deleted += 1
            except OSError as error:
                logger.warning("recording.not_deleted", extra={"error": str(error)})
    return deleted


def _is_worth_another(error: Exception) -> bool:
    if isinstance(error, aiohttp.ClientResponseError):
        return error.status >= 500 or error.status in {408, 429}
    return isinstance(error, FAILURES)


@stamina.retry(on=_is_worth_another, attempts=ATTEMPTS, wait_max=10.0)
async def _put_with_retries(file: Path, url: str, hosts: HostPolicy) -> None:
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=CONNECT_TIMEOUT, sock_read=READ_TIMEOUT
    )
    # Of a file aiohttp sends the length, on which presigned URLs insist, and reads in a thread.
    headers = {"Content-Type": "audio/ogg"}
    with file.open("rb") as content:
        async with (
            session_to(url, hosts, timeout) as session,
            session.put(
                URL(url, encoded=True), data=content, headers=headers, allow_redirects=False
            ) as response,
        ):
            if response.status >= 300:
                raise aiohttp.ClientResponseError(response.request_info, (), status=response.status)


def _describe(error: Exception, limit: float) -> str:
    """In words, without the URL: a library's text may have it, and the query is a key."""
    if isinstance(error, UrlRejected):
        return str(error)
    if isinstance(error, aiohttp.ClientResponseError):
        return failure_of(error.status)
    return reason_of(error, limit)


def _create(file: Path) -> BinaryIO:
    return os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _publish(file: Path, folder: Path, name: str) -> Path:
    """Give the file its name; a second recording of a call gets another one."""
    numbers = ("", *(f"-{number}" for number in range(2, 100)))
    for target in (folder / f"{name}{number}{SUFFIX}" for number in numbers):
        if not target.exists():
            return file.rename(target)
    raise FileExistsError(f"{folder} has too many recordings of this call")


def _root(folder: str) -> Path:
    before, has_variables, _ = folder.partition("{{")
    return Path(before).parent if has_variables and not before.endswith("/") else Path(before)


def _recordings(folder: Path, depth: int) -> Iterator[Path]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False) and depth:
            yield from _recordings(Path(entry.path), depth - 1)
        elif entry.is_file(follow_symlinks=False) and entry.name.endswith(SUFFIX):
            yield Path(entry.path)
