"""A conversation without AI: greets, repeats what the caller says, speaks the keys they press."""

import asyncio
import contextlib
import logging
import wave
from collections.abc import AsyncIterator
from dataclasses import dataclass
from importlib.resources import files
from typing import Self

from livekit import rtc
from livekit.agents import JobContext

from agent.context import CallContext
from agent.conversation import OnReady, SendReport
from agent.ending import Ending
from agent.record import Record
from agent.room import answered_caller, audio_of, departure, inaudible_for, publish
from agent.settings import WorkerSettings
from common.audio_source import closing

logger = logging.getLogger("agent.diagnostic")

#: In Hz: the best that telephone lines carry (G.722), and the rate of the clips.
SAMPLE_RATE = 16_000
FRAME_MS = 20
#: Keys that may wait to be spoken; more are dropped.
MAX_PENDING_KEYS = 16
#: Frames and clips that may wait for the audio source.
MAX_PENDING_AUDIO = 10

#: What greeting.wav says.
GREETING = "Hello. This line works. I repeat what you say."
CLIPS = {**{str(digit): f"{digit}.wav" for digit in range(10)}, "*": "star.wav", "#": "pound.wav"}


@dataclass
class Diagnostic:
    """See Conversation."""

    job: JobContext
    call: CallContext
    record: Record
    settings: WorkerSettings

    async def talk(self, on_ready: OnReady) -> Ending:
        """Until the caller leaves or the room ends."""
        return Ending(await converse(self.job.room, self.call, self.record, on_ready))

    async def finish(self, send: SendReport) -> None:
        await send(self.record.report())


async def converse(room: rtc.Room, call: CallContext, record: Record, on_ready: OnReady) -> str:
    """Talk until the caller leaves or the room ends; returns which of them it was."""
    async with Voice.published_in(room) as voice, asyncio.TaskGroup() as tasks:
        tasks.create_task(on_ready())
        talking = tasks.create_task(_talk(room, call, voice, record))
        reason = await departure(room, call)
        talking.cancel()
    return reason


async def _talk(room: rtc.Room, call: CallContext, voice: "Voice", record: Record) -> None:
    keys: asyncio.Queue[str] = asyncio.Queue(MAX_PENDING_KEYS)
    room.on("sip_dtmf_received", lambda press: _queue(keys, press.digit))
    caller = await answered_caller(room, call)
    logger.info("caller.answered")
    await asyncio.sleep(inaudible_for(caller, call))
    record.said("agent", GREETING)
    record.agent_speaks()
    await voice.play("greeting.wav")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_repeat(room, caller.identity, voice))
        tasks.create_task(_speak_keys(keys, voice, record))


async def _repeat(room: rtc.Room, identity: str, voice: "Voice") -> None:
    """For as long as it runs; a caller who comes back has another track."""
    track = await audio_of(room, identity)
    while True:
        async with asyncio.TaskGroup() as tasks:
            repeating = tasks.create_task(_repeat_track(track, voice))
            track = await audio_of(room, identity, besides=track)
            repeating.cancel()


async def _repeat_track(track: rtc.Track, voice: "Voice") -> None:
    audio = rtc.AudioStream(
        track, sample_rate=SAMPLE_RATE, num_channels=1, frame_size_ms=FRAME_MS, capacity=50
    )
    try:
        async for event in audio:
            voice.say(event.frame)
    finally:
        await audio.aclose()


async def _speak_keys(keys: asyncio.Queue[str], voice: "Voice", record: Record) -> None:
    while True:
        key = await keys.get()
        # The key stays out of the log: it may be part of a PIN.
        logger.info("key.pressed")
        record.said("user", f"[key {key}]")
        if key in CLIPS:
            await voice.play(CLIPS[key])


def _queue(keys: asyncio.Queue[str], key: str) -> None:
    with contextlib.suppress(asyncio.QueueFull):
        keys.put_nowait(key)


@dataclass(frozen=True, slots=True)
class _Audio:
    """`frames` to say; `heard` is set once a clip has been."""

    frames: list[rtc.AudioFrame]
    heard: asyncio.Event | None = None


class Voice:
    """The agent's audio track: clips in their order, and between them the frames it is given.

    One task writes to the audio source: of two writers at once LiveKit fails one
    ("InvalidState - failed to capture frame").
    """

    def __init__(self, source: rtc.AudioSource) -> None:
        self._source = source
        self._queue: asyncio.Queue[_Audio] = asyncio.Queue(MAX_PENDING_AUDIO)
        self._clips = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def published_in(cls, room: rtc.Room) -> AsyncIterator[Self]:
        """A voice whose track is published in `room`."""
        source = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=200)
        track = rtc.LocalAudioTrack.create_audio_track("diagnostic", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        await publish(room, track, options)
        async with closing(source), cls(source).speaking() as voice:
            yield voice

    @contextlib.asynccontextmanager
    async def speaking(self) -> AsyncIterator[Self]:
        """What is played and said is heard while the context is entered."""
        async with asyncio.TaskGroup() as tasks:
            writing = tasks.create_task(self._write())
            yield self
            writing.cancel()

    async def play(self, clip: str) -> None:
        """Play a recording to its end."""
        heard = asyncio.Event()
        self._clips += 1
        try:
            await self._queue.put(_Audio(_frames(clip), heard))
            await heard.wait()
        finally:
            self._clips -= 1

    def say(self, frame: rtc.AudioFrame) -> None:
        """Say `frame`, unless a clip is playing or too much waits to be said."""
        if not self._clips:
            with contextlib.suppress(asyncio.QueueFull):
                self._queue.put_nowait(_Audio([frame]))

    async def _write(self) -> None:
        while True:
            audio = await self._queue.get()
            for frame in audio.frames:
                await self._source.capture_frame(frame)
            if audio.heard:
                await self._source.wait_for_playout()
                audio.heard.set()


def _frames(clip: str) -> list[rtc.AudioFrame]:
    with files("agent.sounds").joinpath(clip).open("rb") as file, wave.open(file) as recording:
        samples = recording.readframes(recording.getnframes())
    count = SAMPLE_RATE * FRAME_MS // 1000
    size = count * 2
    padded = samples + bytes(-len(samples) % size)
    return [
        rtc.AudioFrame(padded[start : start + size], SAMPLE_RATE, 1, count)
        for start in range(0, len(padded), size)
    ]
