"""A backup of foreign trunks and rules before setup deletes them: a file with mode 0600."""

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError
from gateway.livekit.trunks import Kind, SipItem, field_problem

FORMAT = "livekit-sip-backup"
VERSION = 1


class BackupError(GatewayError):
    """A backup cannot be written or read; the text names the file and the cause."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Trunks and rules, with their ids, of the LiveKit at `livekit_url`; `made_at` in UTC."""

    livekit_url: str
    made_at: str
    items: tuple[SipItem, ...]


def default_path(now: datetime) -> Path:
    """A file in the current folder, named after `now` in UTC."""
    return Path(f"{FORMAT}-{now:%Y%m%dT%H%M%SZ}.json")


def write_backup(path: Path, backup: Backup) -> None:
    """Write a new file and sync it to disk. Raises BackupError, also if the file exists.

    The mode is 0600 because trunks contain passwords.
    """
    content = json.dumps(_content(backup), indent=2, ensure_ascii=False) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise BackupError(f"{path} exists: name another file with --backup") from error
    except OSError as error:
        raise BackupError(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.absolute().parent)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise BackupError(f"{path} cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Sync the folder, so that the file's entry in it survives a crash too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def contains(path: Path, livekit_url: str, items: Sequence[SipItem]) -> bool:
    """Whether the file is a backup of this LiveKit that contains all of `items`."""
    try:
        backup = read_backup(path)
    except BackupError:
        return False
    return backup.livekit_url == livekit_url and all(item in backup.items for item in items)


def read_backup(path: Path) -> Backup:
    """The backup as a whole. Raises BackupError if any part of it is not valid."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # JSON may contain an unpaired surrogate, which cannot be sent.
        json.dumps(content, ensure_ascii=False).encode()
    except OSError as error:
        raise BackupError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BackupError(f"{path} is damaged or no backup: it is not valid JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BackupError(f'{path} is no backup of setup: it lacks "format": "{FORMAT}"')
    if content.get("version") != VERSION:
        raise BackupError(
            f"{path} has version {content.get('version')!r}, but this gateway reads {VERSION}"
        )
    entries = content.get("items")
    if not isinstance(entries, list):
        raise BackupError(f"{path} is damaged: its items are not an array")
    return Backup(
        livekit_url=str(content.get("livekit_url", "")),
        made_at=str(content.get("made_at", "")),
        items=tuple(_item(path, number, entry) for number, entry in enumerate(entries, 1)),
    )


def _item(path: Path, number: int, entry: Any) -> SipItem:
    try:
        item = SipItem(Kind(entry["kind"]), entry["id"], entry["fields"])
    except (KeyError, TypeError, ValueError) as error:
        raise BackupError(f"{path} is damaged at item {number}") from error
    if not (isinstance(item.id, str) and item.id and isinstance(item.fields, dict)):
        raise BackupError(f"{path} is damaged at item {number}")
    if problem := field_problem(item):
        raise BackupError(f"{path} is damaged at item {number}: {problem}")
    return item


def _content(backup: Backup) -> Mapping[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "livekit_url": backup.livekit_url,
        "made_at": backup.made_at,
        "items": [
            {"kind": str(item.kind), "id": item.id, "fields": dict(item.fields)}
            for item in backup.items
        ],
    }
