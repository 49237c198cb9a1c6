"""The recording of a call: what is recorded, where it goes, and what becomes of failures."""

import asyncio
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import pytest
import stamina
from aiohttp import web
from aiohttp.test_utils import TestServer
from livekit import rtc
from livekit.agents.voice import io

from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import Recording
from agent.voice import recording
from agent.voice.recording import CallRecording
from agent.voice.recording_store import delete_old, put, store, without_query
from agent.voice.retention import delete_old_recordings
from tests.agent.worker_settings import settings_for

SECONDS = 0.6
RATE = 16_000
LOOPBACK = HostPolicy.reading(["127.0.0.0/8"])
SECRET = "X-Amz-Signature=c2VjcmV0"


class Caller(io.AudioInput):
    """A tone, as fast as it comes over a line."""

    def __init__(self) -> None:
        super().__init__(label="caller")

    async def __anext__(self) -> rtc.AudioFrame:
        await asyncio.sleep(0.02)
        samples = RATE // 50
        return rtc.AudioFrame(b"\x00\x20" * samples, RATE, 1, samples)


class Line(io.AudioOutput):
    """Where the agent's audio goes."""

    def __init__(self) -> None:
        super().__init__(label="line", capabilities=io.AudioOutputCapabilities(pause=False))

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)

    def flush(self) -> None:
        """Nothing is buffered."""

    def clear_buffer(self) -> None:
        """Nothing is buffered."""


class Session:
    """What a recording needs of an AgentSession."""

    def __init__(self) -> None:
        self.input = SimpleNamespace(audio=Caller())
        self.output = SimpleNamespace(audio=Line())
        self.said: list[str] = []
        self.recorded_from: list[bool] = []

    async def say(self, text: str, *, allow_interruptions: bool) -> None:
        assert not allow_interruptions
        assert isinstance(self.input.audio, Caller), "the announcement is not recorded"
        self.said.append(text)

    async def listen(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await anext(self.input.audio)


def recording_of(
    session: Session, folder: Path, settings: Recording, *, wanted: bool = False
) -> CallRecording:
    job = SimpleNamespace(
        session_directory=folder / "session", job=SimpleNamespace(room=SimpleNamespace(name="room"))
    )
    return CallRecording(
        cast(Any, job), cast(Any, session), settings, LOOPBACK, call_id="call-1", wanted=wanted
    )


async def recorded(folder: Path, settings: Recording, *, wanted: bool = False) -> dict[str, Any]:
    """What the report says of a short call."""
    session = Session()
    call = recording_of(session, folder, settings, wanted=wanted)
    await call.begin()
    await session.listen(SECONDS)
    report = dict(await call.save())
    await call.settle()
    return cast(dict[str, Any], report.get("recording", {}))


@asynccontextmanager
async def bucket(*statuses: int) -> AsyncIterator[tuple[str, list[web.Request], list[bytes]]]:
    """A server that takes PUTs, answers with `statuses` and then 200: URL, requests, bodies."""
    answers, requests, bodies = list(statuses), list[web.Request](), list[bytes]()

    async def take(request: web.Request) -> web.Response:
        requests.append(request)
        bodies.append(await request.read())
        return web.Response(status=answers.pop(0) if answers else 200)

    app = web.Application(client_max_size=10 * 1_048_576)
    app.router.add_put("/bucket/{name}", take)
    async with TestServer(app) as server:
        yield f"{server.make_url('/bucket/call-1.ogg')}?{SECRET}", requests, bodies


async def test_a_recording_is_stored_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    before = time.time()
    about = await recorded(tmp_path, Recording(enabled=True, folder=str(folder)))
    file = folder / "call-1.ogg"
    assert about.pop("file") == str(file)
    assert about["duration_ms"] >= 400
    assert about.keys() == {"started_at", "duration_ms", "bytes"}
    assert before - 0.1 <= about["started_at"] / 1000 <= time.time() - 0.4
    assert file.stat().st_size == about["bytes"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [entry.name for entry in folder.iterdir()] == ["call-1.ogg"]
    with av.open(str(file)) as container:
        assert container.streams.audio[0].layout.name == "stereo"


async def test_only_what_comes_after_the_announcement_is_recorded(tmp_path: Path) -> None:
    session = Session()
    settings = Recording(folder=str(tmp_path / "r"), announce="This call is recorded.")
    call = recording_of(session, tmp_path, settings, wanted=True)
    await call.begin()
    assert session.said == ["This call is recorded."]
    assert not isinstance(session.input.audio, Caller)
    await call.save()


async def test_a_call_that_asks_for_no_recording_has_none(tmp_path: Path) -> None:
    assert await recorded(tmp_path, Recording(folder=str(tmp_path / "r"))) == {}
    assert os.listdir(tmp_path) == []


async def test_a_recording_without_a_place_is_an_error_and_not_announced(tmp_path: Path) -> None:
    session = Session()
    call = recording_of(session, tmp_path, Recording(announce="Recorded."), wanted=True)
    await call.begin()
    error = "the profile has neither record.folder nor record.url"
    assert await call.save() == {"recording": {"error": error}}
    assert session.said == []


async def test_a_recorder_that_broke_off_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MISSING", -1.0)
    about = await recorded(tmp_path, Recording(enabled=True, folder=str(tmp_path / "r")))
    assert about["error"].endswith("s are missing")
    assert about["file"]


async def test_a_session_without_audio_is_an_error_and_no_exception(tmp_path: Path) -> None:
    session = Session()
    session.input.audio = cast(Any, None)
    settings = Recording(enabled=True, folder=str(tmp_path))
    call = recording_of(session, tmp_path, settings)
    await call.begin()
    assert await call.save() == {"recording": {"error": "RuntimeError: the session has no audio"}}


async def test_a_recording_is_put_to_a_url_whose_query_is_told_to_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    async with bucket(503) as (url, requests, bodies):
        with stamina.set_testing(True, attempts=2):
            about = await recorded(tmp_path, Recording(enabled=True, url=url))
    assert about.keys() == {"url", "started_at", "duration_ms", "bytes"}
    assert about["url"] == url.removesuffix(f"?{SECRET}")
    assert len(bodies[1]) == about["bytes"]
    assert bodies[1].startswith(b"OggS")
    assert requests[1].headers["Content-Length"] == str(about["bytes"])
    assert requests[1].headers["Content-Type"] == "audio/ogg"
    assert requests[1].query_string == SECRET
    logged = [vars(entry) for entry in caplog.records if entry.name != "aiohttp.access"]
    assert "Signature" not in f"{logged} {capsys.readouterr()}"


@pytest.mark.parametrize(
    ("statuses", "attempts", "error"),
    [((403,), 1, "answered 403 Forbidden"), ((500, 500), 2, "answered 500 Internal Server Error")],
)
async def test_an_upload_that_fails_says_so_and_names_no_secret(
    tmp_path: Path, statuses: tuple[int, ...], attempts: int, error: str
) -> None:
    async with bucket(*statuses) as (url, requests, _):
        with stamina.set_testing(True, attempts=2):
            about = await recorded(tmp_path, Recording(enabled=True, url=url))
    assert about["error"] == error
    assert len(requests) == attempts


async def test_a_server_that_is_not_there_is_named_without_the_query(tmp_path: Path) -> None:
    file = tmp_path / "a.ogg"
    file.write_bytes(b"OggS")
    with stamina.set_testing(True, attempts=1):
        error = await put(file, f"http://127.0.0.1:9/a?{SECRET}", LOOPBACK, 5)
    assert error == "no connection: Connection refused"
    assert "Signature" not in error


async def test_a_private_address_that_is_not_allowed_gets_no_recording(tmp_path: Path) -> None:
    file = tmp_path / "a.ogg"
    file.write_bytes(b"OggS")
    async with bucket() as (url, requests, _):
        assert "allowed_hosts" in await put(file, url, HostPolicy(), 5)
    assert requests == []


async def test_a_slow_upload_goes_on_after_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded, proceed = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> str:
        await proceed.wait()
        uploaded.set()
        return ""

    monkeypatch.setattr(recording, "REPORT_WAIT", 0.01)
    monkeypatch.setattr(recording, "put", slow)
    session = Session()
    call = recording_of(session, tmp_path, Recording(enabled=True, url="https://example.com/a"))
    await call.begin()
    await session.listen(0.1)
    about = cast(dict[str, Any], (await call.save())["recording"])
    assert "the upload took longer than" in about["error"]
    proceed.set()
    await call.settle()
    assert uploaded.is_set()


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "audio.ogg"
    file.write_bytes(b"OggS")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        store(file, tmp_path / "r", "call-1")
    assert list((tmp_path / "r").iterdir()) == []


def test_a_second_recording_of_a_call_replaces_nothing(tmp_path: Path) -> None:
    for number in (b"1", b"2", b"3"):
        file = tmp_path / "audio.ogg"
        file.write_bytes(number)
        store(file, tmp_path / "r", "call-1")
    contents = {entry.name: entry.read_bytes() for entry in (tmp_path / "r").iterdir()}
    assert contents == {"call-1.ogg": b"1", "call-1-2.ogg": b"2", "call-1-3.ogg": b"3"}


@pytest.mark.parametrize(
    ("call_id", "name"), [("../../etc/x", "_.._etc_x.ogg"), ("", "call.ogg"), (".a", "a.ogg")]
)
def test_a_recordings_name_stays_in_its_folder(tmp_path: Path, call_id: str, name: str) -> None:
    file = tmp_path / "audio.ogg"
    file.touch()
    assert store(file, tmp_path / "r", call_id) == tmp_path / "r" / name


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://u:p@example.com/a/b.ogg?key=1#x", "https://example.com/a/b.ogg"),
        ("http://192.0.2.1:9000/a", "http://192.0.2.1:9000/a"),
    ],
)
def test_a_url_is_told_without_what_opens_it(url: str, told: str) -> None:
    assert without_query(url) == told


def test_old_recordings_are_deleted_and_nothing_else(tmp_path: Path) -> None:
    old = time.time() - 3 * 86_400
    names = ("old.ogg", "new.ogg", "old.txt", "a/deep.ogg", "elsewhere.ogg")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        if "new" not in name:
            os.utime(tmp_path / name, (old, old))
    (tmp_path / "link.ogg").symlink_to(tmp_path / "elsewhere.ogg")
    assert delete_old({str(tmp_path): 4}) == 0
    assert delete_old({str(tmp_path): 2}) == 2
    assert {entry.name for entry in tmp_path.iterdir()} == {"new.ogg", "old.txt", "a", "link.ogg"}
    assert delete_old({f"{tmp_path}/{{{{account}}}}": 2, str(tmp_path / "none"): 1}) == 1


async def test_the_worker_deletes_what_a_profile_keeps_no_longer(tmp_path: Path) -> None:
    agents, folder = tmp_path / "agents.yaml", tmp_path / "r"
    keeps = f"record: {{folder: {folder}, keep_days: "
    agents.write_text(f"profiles:\n  default: {{{keeps}5}}}}\n  b: {{{keeps}2}}}}\n")
    folder.mkdir()
    for name, days in (("three.ogg", 3), ("six.ogg", 6)):
        (folder / name).touch()
        os.utime(folder / name, (time.time() - days * 86_400,) * 2)
    settings = replace(settings_for(tmp_path), pipeline="voice", agents_file=agents)
    deleting = asyncio.create_task(delete_old_recordings(settings))
    async with asyncio.timeout(10):
        while os.listdir(folder) != ["three.ogg"]:
            await asyncio.sleep(0.01)
    deleting.cancel()


async def test_a_worker_of_the_line_test_has_no_recordings_to_delete(tmp_path: Path) -> None:
    await delete_old_recordings(settings_for(tmp_path))
