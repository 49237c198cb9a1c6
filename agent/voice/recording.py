"""The recording of a call, by livekit-agents' own recorder: stereo Opus, caller left, agent right.

`AgentSession.start(record=…)` would record from the first ring on, the announcement too, and upload
to LiveKit Cloud where that is the server. So the recorder is started here, and a session starts
with `record=NOT_UPLOADED`.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path

import av
from livekit.agents import AgentSession, JobContext
from livekit.agents.voice.agent_session import RecordingOptions
from livekit.agents.voice.recorder_io import RecorderIO

from agent.profiles.hosts import HostPolicy
from agent.profiles.profile import Recording
from agent.voice.recording_store import put, store, without_query

logger = logging.getLogger("agent.recording")

#: For `AgentSession.start(record=…)`, whose default uploads the conversation to LiveKit Cloud.
NOT_UPLOADED: RecordingOptions = {
    "audio": False,
    "transcript": False,
    "traces": False,
    "logs": False,
}
#: How long the report waits for an upload, in s, and how long the job does in all: livekit-agents
#: gives a job's end 300 s.
REPORT_WAIT = 6.0
UPLOAD_TIMEOUT = 240.0
#: A file that lacks more than this, in s, is reported.
MISSING = 2.0


class CallRecording:
    """The recording of one call, if its profile or the call asks for one."""

    def __init__(
        self,
        job: JobContext,
        session: "AgentSession[None]",
        settings: Recording,
        hosts: HostPolicy,
        *,
        call_id: str,
        wanted: bool,
    ) -> None:
        self._job = job
        self._session = session
        self._settings = settings
        self._hosts = hosts
        self._name = call_id or job.job.room.name
        self._wanted = wanted or settings.enabled
        self._recorder: RecorderIO | None = None
        self._error = ""
        self._upload: asyncio.Task[str] | None = None

    async def begin(self) -> None:
        """Say the announcement, then record; nobody else may be speaking. Never raises."""
        if not self._wanted:
            return
        if not (self._settings.folder or self._settings.url):
            self._fail("the profile has neither record.folder nor record.url")
            return
        if self._settings.announce:
            await self._session.say(self._settings.announce, allow_interruptions=False)
        try:
            await self._start()
        except Exception as error:
            # A call that cannot be recorded is still a call.
            self._fail(f"{type(error).__name__}: {error}")

    async def save(self) -> Mapping[str, object]:
        """Close the file and bring it where it belongs: `recording`, for the report.

        Raises OSError, av.FFmpegError: a disk was full, for instance.
        """
        if self._recorder:
            return {"recording": await self._save(self._recorder)}
        return {"recording": {"error": self._error}} if self._error else {}

    async def settle(self) -> None:
        """Wait for an upload that the report did not wait for."""
        if self._upload:
            await self._upload

    async def _start(self) -> None:
        audio_in, audio_out = self._session.input.audio, self._session.output.audio
        if audio_in is None or audio_out is None:
            raise RuntimeError("the session has no audio")
        recorder = RecorderIO(agent_session=self._session)
        self._session.input.audio = recorder.record_input(audio_in)
        self._session.output.audio = recorder.record_output(audio_out)
        await recorder.start(output_path=self._job.session_directory / "audio.ogg")
        self._recorder = recorder
        logger.info("recording.started")

    async def _save(self, recorder: RecorderIO) -> dict[str, object]:
        started_at = recorder.recording_started_at or time.time()
        recorded = time.time() - started_at
        await recorder.aclose()
        file = recorder.output_path
        if file is None:
            raise FileNotFoundError("the recorder wrote no file")
        about = await asyncio.to_thread(_measure, file, recorded)
        about["started_at"] = round(started_at * 1000)
        if self._settings.folder:
            stored = await asyncio.to_thread(store, file, Path(self._settings.folder), self._name)
            about["file"] = str(stored)
            logger.info("recording.stored", extra={"bytes": about["bytes"]})
        if self._settings.url:
            about["url"] = without_query(self._settings.url)
            if error := await self._put(file):
                about["error"] = error
        return about

    async def _put(self, file: Path) -> str:
        url, hosts = self._settings.url, self._hosts
        self._upload = asyncio.create_task(put(file, url, hosts, UPLOAD_TIMEOUT))
        done, _ = await asyncio.wait({self._upload}, timeout=REPORT_WAIT)
        return self._upload.result() if done else f"the upload took longer than {REPORT_WAIT:g} s"

    def _fail(self, error: str) -> None:
        self._error = error
        logger.error("recording.failed", extra={"error": error})


def _measure(file: Path, recorded: float) -> dict[str, object]:
    """Of a file into which `recorded` s went: the recorder only logs that its disk was full."""
    with av.open(str(file)) as container:
        duration = (container.duration or 0) / av.time_base
    about: dict[str, object] = {
        "duration_ms": round(duration * 1000),
        "bytes": file.stat().st_size,
    }
    if recorded - duration > MISSING:
        about["error"] = f"the last {recorded - duration:.0f} s are missing"
    return about
