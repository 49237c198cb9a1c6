"""What setup deletes that is not its own, kept in a file that only its owner can read."""

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


class BackupUnusable(GatewayError):
    """A backup cannot be written or read; the text says which file and why."""


@dataclass(frozen=True, slots=True)
class Backup:
    """Trunks and rules with the ids they had, of the LiveKit at `livekit_url`, at `made_at` UTC."""

    livekit_url: str
    made_at: str
    items: tuple[SipItem, ...]


def default_path(now: datetime) -> Path:
    """In the current folder; `now` in UTC."""
    return Path(f"{FORMAT}-{now:%Y%m%dT%H%M%SZ}.json")


def write_backup(path: Path, backup: Backup) -> None:
    """On the disk when this returns, mode 0600: trunks have passwords. Raises BackupUnusable.

    A file that is there is left alone.
    """
    content = json.dumps(_content(backup), indent=2, ensure_ascii=False) + "\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise BackupUnusable(f"{path} is there already: name another file with --backup") from error
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(path.absolute().parent)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise BackupUnusable(f"{path} cannot be written: {error.strerror}") from error


def _sync_folder(folder: Path) -> None:
    """Its entry for the file too has to survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def holds(path: Path, livekit_url: str, items: Sequence[SipItem]) -> bool:
    """Whether the file is a backup of this LiveKit that has all of `items` in it."""
    try:
        backup = read_backup(path)
    except BackupUnusable:
        return False
    return backup.livekit_url == livekit_url and all(item in backup.items for item in items)


def read_backup(path: Path) -> Backup:
    """Raises BackupUnusable; a backup is read whole or not at all."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        # Half a character, as JSON may have one, cannot be sent.
        json.dumps(content, ensure_ascii=False).encode()
    except OSError as error:
        raise BackupUnusable(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise BackupUnusable(f"{path} is damaged or no backup: it is not valid JSON") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise BackupUnusable(f'{path} is no backup of setup: it lacks "format": "{FORMAT}"')
    if content.get("version") != VERSION:
        raise BackupUnusable(
            f"{path} has version {content.get('version')!r}, this gateway reads {VERSION}"
        )
    entries = content.get("items")
    if not isinstance(entries, list):
        raise BackupUnusable(f"{path} is damaged: its items are no list")
    return Backup(
        livekit_url=str(content.get("livekit_url", "")),
        made_at=str(content.get("made_at", "")),
        items=_items(path, entries),
    )


def _items(path: Path, entries: Sequence[Any]) -> tuple[SipItem, ...]:
    found = []
    for number, entry in enumerate(entries, 1):
        try:
            item = SipItem(Kind(entry["kind"]), entry["id"], entry["fields"])
        except (KeyError, TypeError, ValueError) as error:
            raise BackupUnusable(f"{path} is damaged at item {number}") from error
        if not (isinstance(item.id, str) and item.id and isinstance(item.fields, dict)):
            raise BackupUnusable(f"{path} is damaged at item {number}")
        if problem := field_problem(item):
            raise BackupUnusable(f"{path} is damaged at item {number}: {problem}")
        found.append(item)
    return tuple(found)


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
