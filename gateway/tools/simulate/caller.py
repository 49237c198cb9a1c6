"""The caller's part: joins the room by WebRTC as livekit-sip would, speaks, listens, records."""

import array
import asyncio
import itertools
import math
import wave
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, GatewayError

try:
    from livekit import rtc
except ImportError as missing:  # the gateway alone does not need WebRTC
    raise ConfigError(
        ["the package livekit is missing: a call's audio needs it, install the extra 'agent'"]
    ) from missing

#: In Hz: WebRTC's own rate, so nothing is resampled here.
SAMPLE_RATE = 48_000
FRAME_MS = 20
#: Peak of 16-bit samples above which something is said rather than silence coded.
LOUD = 500
TONE_HZ = 440


class CallerError(GatewayError):
    """The caller cannot do their part; the text says why."""


class Caller:
    """Somebody on the telephone in a LiveKit room. Make one with `joined()`."""

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._agent_audio: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()
        self._heard = asyncio.Event()
        self._left = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.recording = array.array("h")
        room.on("track_subscribed", self._on_track)

    @classmethod
    @asynccontextmanager
    async def joined(cls, url: str, token: str) -> AsyncIterator["Caller"]:
        """In the room; out of it again at the end, which is how a caller hangs up."""
        room = rtc.Room()
        caller = cls(room)
        try:
            await room.connect(url, token)
        except rtc.ConnectError as error:
            raise CallerError(f"cannot join the room: {error}") from error
        try:
            yield caller
        finally:
            await caller._leave()

    async def agent_audio(self) -> None:
        """Wait until the agent's audio track is there; then livekit-sip answers the INVITE."""
        track = await asyncio.shield(self._agent_audio)
        self._start(self._listen(track))

    async def agent_heard(self) -> None:
        """Wait until the agent says something louder than silence."""
        await self._heard.wait()

    async def speak(self, samples: Iterator[bytes]) -> None:
        """Publish a microphone and say `samples` into it in the background."""
        source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("caller", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)
        self._start(self._say(source, samples))

    async def press(self, keys: str) -> None:
        """Press keys one after the other (RFC 4733 event codes)."""
        for key in keys:
            code = "0123456789*#ABCD".find(key.upper())
            if code < 0:
                raise CallerError(f"there is no key {key!r} on a telephone")
            await self._room.local_participant.publish_dtmf(code=code, digit=key.upper())
            await asyncio.sleep(0.3)

    def _on_track(
        self, track: rtc.Track, publication: object, participant: rtc.RemoteParticipant
    ) -> None:
        is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        is_audio = track.kind == rtc.TrackKind.KIND_AUDIO
        if is_agent and is_audio and not self._agent_audio.done():
            self._agent_audio.set_result(track)

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
        try:
            async for event in stream:
                samples = array.array("h", event.frame.data.tobytes())
                self.recording.extend(samples)
                if not self._heard.is_set() and max(samples) > LOUD:
                    self._heard.set()
        finally:
            await stream.aclose()

    async def _say(self, source: rtc.AudioSource, frames: Iterator[bytes]) -> None:
        for samples in frames:
            if self._left:
                break
            await source.capture_frame(rtc.AudioFrame(samples, SAMPLE_RATE, 1, len(samples) // 2))
        await source.wait_for_playout()
        await source.aclose()

    async def _leave(self) -> None:
        # Both end by themselves now: speaking at its next frame, listening with the room.
        self._left = True
        await self._room.disconnect()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=2)
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.create_task(work))


def tone() -> Iterator[bytes]:
    """A 440 Hz tone without end, in frames of FRAME_MS."""
    period = [
        round(8_000 * math.sin(2 * math.pi * TONE_HZ * n / SAMPLE_RATE)) for n in range(SAMPLE_RATE)
    ]
    size = SAMPLE_RATE * FRAME_MS // 1000
    for start in itertools.cycle(range(0, SAMPLE_RATE, size)):
        yield array.array("h", period[start : start + size]).tobytes()


def wav_frames(path: Path) -> Iterator[bytes]:
    """A WAV file in frames of FRAME_MS. Raises CallerError for one that we cannot play."""
    try:
        with wave.open(str(path)) as file:
            form = (file.getsampwidth(), file.getnchannels(), file.getframerate())
            content = file.readframes(file.getnframes())
    except (OSError, wave.Error, EOFError) as error:
        raise CallerError(f"cannot read {path}: {error}") from error
    if form[:2] != (2, 1):
        raise CallerError(f"{path} must be 16 bit mono, see `sox IN -b 16 -c 1 OUT`")
    resampler = rtc.AudioResampler(form[2], SAMPLE_RATE) if form[2] != SAMPLE_RATE else None
    frame = rtc.AudioFrame(content, form[2], 1, len(content) // 2)
    frames = [*resampler.push(frame), *resampler.flush()] if resampler else [frame]
    samples = b"".join(frame.data.tobytes() for frame in frames)
    size = SAMPLE_RATE * FRAME_MS // 1000 * 2
    return (samples[start : start + size] for start in range(0, len(samples), size))


def write_wav(path: Path, samples: "array.array[int]") -> None:
    """16-bit mono samples at SAMPLE_RATE as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(samples.tobytes())
