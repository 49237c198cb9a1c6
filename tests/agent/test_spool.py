"""The folder of reports that the gateway has not accepted: odd files and a full disk."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from agent import monitor, spool
from agent.spool import Spool
from tests.agent.test_shared_json import Gateway
from tests.agent.worker_settings import settings_for

pytestmark = pytest.mark.field("G3")

BODY = b'{"event": "agent_ended", "job_id": "AJ_1", "detail": "", "report": null}'


def put_odd_files(folder: Path) -> None:
    (folder / "0-list.json").write_text("[]")
    (folder / "1-number.json").write_text("5")
    (folder / "2-binary.json").write_bytes(bytes(range(256)))
    (folder / "3-empty.json").touch()
    (folder / "4-other.json").write_text('{"url": 5, "body": "{}"}')
    (folder / "5-nested.json").write_text("[" * 100_000)
    (folder / "6-folder.json").mkdir()
    (folder / "7-link.json").symlink_to("/dev/zero")
    os.mkfifo(folder / "8-pipe.json")
    with (folder / "9-huge.json").open("wb") as file:
        file.truncate(1 << 40)


def test_files_that_are_no_reports_are_set_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_odd_files(tmp_path)
    box = Spool(tmp_path)
    box.store("https://gateway.example.com", BODY)
    assert [report.body for report in box.stored()] == [BODY]
    assert len(list(tmp_path.glob("*.json"))) == 1
    assert len(list(tmp_path.glob(f"*{spool.SET_ASIDE}"))) == 10
    assert caplog.text.count("report.unreadable") == 10
    caplog.clear()
    assert len(list(box.stored())) == 1
    assert caplog.text == ""


def test_they_are_deleted_in_the_end(tmp_path: Path) -> None:
    put_odd_files(tmp_path)
    list(Spool(tmp_path).stored())
    age(tmp_path, spool.MAX_AGE + 1)
    list(Spool(tmp_path).stored())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.field("D5")
def test_a_report_is_tried_once_more_though_it_seems_too_old(tmp_path: Path) -> None:
    """As all do once the machine's clock was set forward."""
    box = Spool(tmp_path)
    box.store("https://gateway.example.com", BODY)
    age(tmp_path, spool.MAX_AGE + 1)
    assert [report.body for report in box.stored()] == [BODY]
    assert list(box.stored()) == []


async def test_the_worker_delivers_reports_beside_odd_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "SPOOL_INTERVAL", 0.01)
    put_odd_files(tmp_path)
    gateway = Gateway(204, 204)
    async with gateway.serving() as url:
        delivering = asyncio.create_task(monitor._deliver_stored(settings_for(tmp_path)))
        for _ in range(2):  # the second shows that delivering goes on
            Spool(tmp_path).store(url, BODY)
            async with asyncio.timeout(10):
                while list(Spool(tmp_path).stored()):
                    await asyncio.sleep(0.01)
        assert not delivering.done()
        delivering.cancel()
    assert len(gateway.reports) == 2


async def test_delivering_goes_on_after_a_defect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(monitor, "SPOOL_INTERVAL", 0.01)
    failed = asyncio.Event()

    async def fail(*_: object) -> None:
        if "report.delivery_failed" in caplog.text:
            failed.set()
        raise RuntimeError("a defect")

    monkeypatch.setattr(monitor, "_deliver_once", fail)
    delivering = asyncio.create_task(monitor._deliver_stored(settings_for(tmp_path)))
    await asyncio.wait_for(failed.wait(), 10)
    assert not delivering.done()
    delivering.cancel()


def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device")

    box = Spool(tmp_path)
    with monkeypatch.context() as context:
        context.setattr(Path, "write_text", full)
        for _ in range(spool.MAX_REPORTS):
            box.store("https://gateway.example.com", BODY)
    assert caplog.text.count("report.lost") == spool.MAX_REPORTS
    assert list(tmp_path.iterdir()) == []
    box.store("https://gateway.example.com", BODY)
    assert len(list(box.stored())) == 1


def test_a_file_that_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old.part").touch()
    age(tmp_path, spool.ABANDONED_AFTER + 1)
    (tmp_path / "new.part").touch()
    assert list(Spool(tmp_path).stored()) == []
    assert [file.name for file in tmp_path.iterdir()] == ["new.part"]


@pytest.mark.parametrize("limit", ["MAX_REPORTS", "MAX_BYTES"])
def test_number_and_size_are_bounded(
    limit: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    size = len(json.dumps({"url": "https://gateway.example.com", "body": BODY.decode()}))
    monkeypatch.setattr(spool, limit, 2 if limit == "MAX_REPORTS" else 2 * size)
    for _ in range(3):
        Spool(tmp_path).store("https://gateway.example.com", BODY)
    assert len(list(Spool(tmp_path).stored())) == 2
    assert "report.lost" in caplog.text


def age(folder: Path, seconds: float) -> None:
    at = time.time() - seconds
    for file in folder.iterdir():
        os.utime(file, (at, at), follow_symlinks=False)
