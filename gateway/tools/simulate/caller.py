"""A simulated telephone: joins a room by WebRTC as livekit-sip would, speaks, listens, records."""

import array
import asyncio
import itertools
import math
import wave
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from common.audio_source import closing
from gateway.aio import BackgroundTasks
from gateway.config.settings import Config
from gateway.errors import ConfigError, GatewayError
from gateway.livekit.tokens import caller_token, sip_attributes

try:
    from livekit import rtc
except ImportError as missing:  # the gateway alone does not need WebRTC
    raise ConfigError(
        ["the package livekit, which plays a call's audio, is missing: install the extra 'agent'"]
    ) from missing

#: In Hz: WebRTC's own sample rate, so that nothing is resampled here.
SAMPLE_RATE = 48_000
FRAME_MS = 20
#: One frame of 16-bit samples.
SILENCE = bytes(2 * SAMPLE_RATE * FRAME_MS // 1000)
#: How much silence a lifted telephone has ready to be sent, in s.
AHEAD = 0.1
LONGEST_SAID_MS = 5_000
#: The peak of 16-bit samples above which audio is a voice; below it is coded silence.
VOICE_PEAK = 500
#: The name of the agent's track with the sounds of a place (livekit-agents' BackgroundAudioPlayer).
#: It may come before the one with its voice.
BACKGROUND_AUDIO = "background_audio"
TONE_HZ = 440
#: The dispatch rule by which a simulated caller seems to come.
RULE_ID = "SDR_simulated"
#: How long the tasks of a call may take to end after it, in s.
LEAVE_TIMEOUT = 2.0


class CallerError(GatewayError):
    """The caller cannot join, speak or press keys; the text says why."""


def check_livekit(config: Config) -> None:
    """Raises ConfigError if no LiveKit is configured that a simulated telephone could join."""
    if not (config.livekit.url and config.livekit.api_key and config.livekit.api_secret):
        raise ConfigError(
            ["there is no LiveKit to call: start `make run` first, or set LIVEKIT_URL and its key"]
        )


def sip_token(
    config: Config, room: str, number: str, *, rule_id: str = "", status: str = "active"
) -> str:
    """A token with which livekit-sip's participant for `number` would join `room`.

    A caller comes by the dispatch rule `rule_id`, a callee by none.
    """
    return caller_token(
        config.livekit.api_key,
        config.livekit.api_secret,
        room=room,
        identity=f"sip_{number}",
        attributes=sip_attributes(room, number, rule_id=rule_id, status=status),
    )


class Caller:
    """A telephone in a LiveKit room. Created by `joined()`.

    `recording` is the agent's voice, from the moment its track is there: `began` by the
    event loop's clock. `hung_up` is set once the room is left, or deleted.
    """

    def __init__(self, room: rtc.Room) -> None:
        self._room = room
        self._agent_audio: asyncio.Future[rtc.Track] = asyncio.get_running_loop().create_future()
        self._agent_heard = asyncio.Event()
        self._has_left = False
        self._tasks = BackgroundTasks()
        self._source: rtc.AudioSource | None = None
        self._to_say: deque[bytes] = deque()
        self.recording = array.array("h")
        self.began = 0.0
        self.hung_up = asyncio.Event()
        room.on("disconnected", lambda _: self.hung_up.set())
        room.on("track_subscribed", self._on_track)

    @classmethod
    @asynccontextmanager
    async def joined(cls, url: str, token: str) -> AsyncIterator["Caller"]:
        """Join the room with `token`; leave it at the end, which is how a caller hangs up.

        Raises CallerError.
        """
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

    async def answer(self) -> None:
        """Answer a call that rings: see the `status` of `sip_token`."""
        await self._room.local_participant.set_attributes({"sip.callStatus": "active"})

    async def agent_audio(self) -> None:
        """Wait for the agent's audio track, upon which livekit-sip would answer the INVITE."""
        track = await asyncio.shield(self._agent_audio)
        self._tasks.spawn(self._listen(track), name="caller listens")

    async def agent_heard(self) -> None:
        """Wait until the agent is louder than silence."""
        await self._agent_heard.wait()

    async def speak(self, samples: Iterator[bytes]) -> None:
        """Publish a microphone track, and play the frames of `samples` in the background."""
        source = await self._publish(queue_size_ms=200)
        self._tasks.spawn(self._play(source, samples), name="caller speaks")

    async def lift(self) -> None:
        """Publish a microphone track that is silent but for what `say` says."""
        self._source = await self._publish(queue_size_ms=LONGEST_SAID_MS)
        self._tasks.spawn(self._send(self._source), name="caller's line")

    async def say(self, frames: Iterable[bytes]) -> float:
        """Say `frames`, LONGEST_SAID_MS at most; returns the `position` at which they end.

        The telephone must be lifted.
        """
        assert self._source  # noqa: S101 - see lift()
        self._to_say.extend(frames)
        while self._to_say:
            await asyncio.sleep(FRAME_MS / 1000)
        remaining = self._source.queued_duration
        end = self.position + remaining
        await asyncio.sleep(remaining)
        return end

    @property
    def position(self) -> float:
        """The length of the recording, in s: the clock by which the caller hears."""
        return len(self.recording) / SAMPLE_RATE

    async def press(self, keys: str) -> None:
        """Press `keys` one after the other (RFC 4733 event codes). Raises CallerError."""
        for key in keys:
            code = "0123456789*#ABCD".find(key.upper())
            if code < 0:
                raise CallerError(f"a telephone has no key {key!r}")
            await self._room.local_participant.publish_dtmf(code=code, digit=key.upper())
            await asyncio.sleep(0.3)

    def _on_track(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        is_agent = participant.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT
        is_audio = track.kind == rtc.TrackKind.KIND_AUDIO
        is_voice = is_audio and publication.name != BACKGROUND_AUDIO
        if is_agent and is_voice and not self._agent_audio.done():
            self._agent_audio.set_result(track)

    async def _listen(self, track: rtc.Track) -> None:
        stream = rtc.AudioStream(track, sample_rate=SAMPLE_RATE, num_channels=1)
        self.began = asyncio.get_running_loop().time()
        try:
            async for event in stream:
                samples = array.array("h", event.frame.data.tobytes())
                self.recording.extend(samples)
                if not self._agent_heard.is_set() and max(samples) > VOICE_PEAK:
                    self._agent_heard.set()
        finally:
            await stream.aclose()

    async def _publish(self, *, queue_size_ms: int) -> rtc.AudioSource:
        source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=queue_size_ms)
        track = rtc.LocalAudioTrack.create_audio_track("caller", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await self._room.local_participant.publish_track(track, options)
        return source

    async def _send(self, source: rtc.AudioSource) -> None:
        """What is said goes out at once, so that this process may be late: speech has no gaps."""
        async with closing(source):
            while not self._has_left:
                if self._to_say:
                    await source.capture_frame(_frame(self._to_say.popleft()))
                elif source.queued_duration < AHEAD:
                    await source.capture_frame(_frame(SILENCE))
                else:
                    await asyncio.sleep(FRAME_MS / 1000)

    async def _play(self, source: rtc.AudioSource, frames: Iterator[bytes]) -> None:
        async with closing(source):
            for samples in frames:
                if self._has_left:
                    return
                await source.capture_frame(_frame(samples))
            await source.wait_for_playout()

    async def _leave(self) -> None:
        # `_play` ends at its next frame, `_listen` when the room is disconnected.
        self._has_left = True
        await self._room.disconnect()
        await self._tasks.close(grace=LEAVE_TIMEOUT)


def _frame(samples: bytes) -> rtc.AudioFrame:
    return rtc.AudioFrame(samples, SAMPLE_RATE, 1, len(samples) // 2)


def tone() -> Iterator[bytes]:
    """An endless tone of 440 Hz, in frames of FRAME_MS."""
    period = [
        round(8_000 * math.sin(2 * math.pi * TONE_HZ * n / SAMPLE_RATE)) for n in range(SAMPLE_RATE)
    ]
    size = SAMPLE_RATE * FRAME_MS // 1000
    for start in itertools.cycle(range(0, SAMPLE_RATE, size)):
        yield array.array("h", period[start : start + size]).tobytes()


def wav_frames(path: Path) -> Iterator[bytes]:
    """A WAV file in frames of FRAME_MS. Raises CallerError if it cannot be read or played."""
    try:
        with wave.open(str(path)) as file:
            sample_format = (file.getsampwidth(), file.getnchannels(), file.getframerate())
            content = file.readframes(file.getnframes())
    except (OSError, wave.Error, EOFError) as error:
        raise CallerError(f"cannot read {path}: {error}") from error
    if sample_format[:2] != (2, 1):
        raise CallerError(f"{path} must be 16 bit mono: sox IN -b 16 -c 1 OUT converts it")
    rate = sample_format[2]
    resampler = rtc.AudioResampler(rate, SAMPLE_RATE) if rate != SAMPLE_RATE else None
    frame = rtc.AudioFrame(content, rate, 1, len(content) // 2)
    frames = [*resampler.push(frame), *resampler.flush()] if resampler else [frame]
    samples = b"".join(frame.data.tobytes() for frame in frames)
    size = SAMPLE_RATE * FRAME_MS // 1000 * 2
    return (samples[start : start + size] for start in range(0, len(samples), size))


def check_writable(path: Path) -> None:
    """Raises CallerError if no file can be written to `path`; leaves what is there as it is."""
    is_new = not path.exists()
    try:
        path.open("ab").close()
        if is_new:
            path.unlink()
    except OSError as error:
        raise CallerError(f"cannot write {path}: {error.strerror}") from error


def write_wav(path: Path, samples: "array.array[int]") -> None:
    """16-bit mono samples at SAMPLE_RATE as a WAV file. Raises CallerError."""
    try:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(SAMPLE_RATE)
            file.writeframes(samples.tobytes())
    except OSError as error:
        raise CallerError(f"cannot write {path}: {error.strerror}") from error
