"""A backup is read as it was written, or refused as a whole."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.livekit.trunks import Kind, SipItem
from gateway.tools.setup.backup import (
    Backup,
    BackupError,
    default_path,
    read_backup,
    write_backup,
)

TRUNK = SipItem(Kind.INBOUND_TRUNK, "ST_1", {"name": "Büro", "auth_password": "s3cret"})
RULE = SipItem(
    Kind.DISPATCH_RULE, "SDR_1", {"rule": {"dispatch_rule_callee": {}}, "trunk_ids": ["ST_1"]}
)
BACKUP = Backup("wss://x.livekit.cloud", "2026-01-02T03:04:05+00:00", (TRUNK, RULE))


def test_a_backup_is_read_as_it_was_written_and_private(tmp_path: Path) -> None:
    file = tmp_path / "b.json"
    write_backup(file, BACKUP)
    assert read_backup(file) == BACKUP
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BackupError, match="exists: name another file"):
        write_backup(file, BACKUP)


def test_the_default_name_contains_the_time() -> None:
    path = default_path(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    assert str(path) == "livekit-sip-backup-20260102T030405Z.json"


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="No such file or directory"):
        write_backup(tmp_path / "no" / "b.json", BACKUP)


GOOD: dict[str, Any] = {
    "format": "livekit-sip-backup",
    "version": 1,
    "items": [{"kind": "inbound trunk", "id": "ST_1", "fields": {"auth_password": "s3cret"}}],
}


def with_item(**changes: Any) -> str:
    return json.dumps({**GOOD, "items": [*GOOD["items"], {**GOOD["items"][0], **changes}]})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "not valid JSON"),
        (json.dumps(GOOD)[:-9], "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("\x00", "not valid JSON"),
        ('{"format": "\\ud800"}', "not valid JSON"),
        ("[]", "no backup of setup"),
        (json.dumps({**GOOD, "format": "other"}), "no backup of setup"),
        (json.dumps({**GOOD, "version": 2}), "version 2"),
        (json.dumps({**GOOD, "items": {}}), "not an array"),
        (with_item(kind="trunk"), "item 2"),
        (with_item(kind=[]), "item 2"),
        (with_item(id=""), "item 2"),
        (with_item(id=7), "item 2"),
        (with_item(fields=None), "item 2"),
        (with_item(fields={"colour": "red"}), "inbound trunks have no colour"),
        (with_item(fields={"auth_password": 5}), "cannot have this auth_password"),
        (with_item(fields={"numbers": "s3cret"}), "cannot have this numbers"),
        (with_item(fields={"sip_trunk_id": "ST_1"}), "have no sip_trunk_id"),
    ],
)
def test_an_invalid_backup_is_refused(tmp_path: Path, content: str, text: str) -> None:
    file = tmp_path / "b.json"
    file.write_text(content)
    with pytest.raises(BackupError) as refused:
        read_backup(file)
    assert text in str(refused.value)
    assert str(file) in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="No such file"):
        read_backup(tmp_path / "none.json")
    binary = tmp_path / "b.json"
    binary.write_bytes(b"\xff\xfe{}")
    with pytest.raises(BackupError, match="not valid JSON"):
        read_backup(binary)
