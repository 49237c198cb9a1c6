"""A telephone line to an AgentSession, without LiveKit: real time, but no network and no codec."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

from livekit import rtc
from livekit.agents import vad
from livekit.agents.voice.io import AudioInput, AudioOutput, AudioOutputCapabilities

RATE = 24_000
#: Of a frame, in s.
STEP = 0.02
SIZE = round(RATE * STEP)
SILENCE = bytes(2 * SIZE)
#: Loud enough for `LoudVad`, which no model would take for speech.
NOISE = b"\x00\x20\x00\xe0" * (SIZE // 2)
#: A recognizer behind it is as quick as behind the real detector.
MIN_SILENCE = 0.25


class Mouth(AudioInput):
    """The caller's voice; `last_word` is when they have said what they say (time.monotonic())."""

    def __init__(self) -> None:
        super().__init__(label="caller")
        self.last_word = 0.0
        self._frames: deque[bytes] = deque()
        self._next_at = time.monotonic()

    def speak(self, seconds: float = 1.0) -> None:
        self._frames.extend(NOISE for _ in range(round(seconds / STEP)))

    async def said(self) -> float:
        """When the caller has stopped speaking."""
        while self._frames:
            await asyncio.sleep(STEP)
        return self.last_word

    async def __anext__(self) -> rtc.AudioFrame:
        self._next_at += STEP
        await asyncio.sleep(self._next_at - time.monotonic())
        data = SILENCE
        if self._frames:
            data = self._frames.popleft()
            self.last_word = time.monotonic()
        return rtc.AudioFrame(data, RATE, 1, SIZE)


@dataclass
class Sound:
    """Something that was said, from when until when the caller heard it (time.monotonic())."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.start


class Ear(AudioOutput):
    """What the caller hears, as it is heard."""

    def __init__(self) -> None:
        super().__init__(
            label="caller", capabilities=AudioOutputCapabilities(pause=False), sample_rate=RATE
        )
        self.heard: list[Sound] = []
        self._audio_source = self
        self._queued_until = 0.0
        self._ends: asyncio.TimerHandle | None = None
        self._began: float | None = None

    @property
    def queued_duration(self) -> float:
        return max(self._queued_until - time.monotonic(), 0.0)

    async def capture_frame(self, frame: rtc.AudioFrame) -> None:
        await super().capture_frame(frame)
        now = time.monotonic()
        is_first = self._began is None
        if is_first:
            self._began = max(now, self._queued_until)
            self.on_playback_started(created_at=time.time())
        # Within what is said a late frame, as on a busy machine, begins nothing new.
        if self._queued_until < now and (is_first or not self.heard):
            self.heard.append(Sound(now, now))
        self._queued_until = max(self._queued_until, now) + frame.duration
        self.heard[-1].end = self._queued_until
        await asyncio.sleep(max(self.queued_duration - 0.2, 0))

    def flush(self) -> None:
        super().flush()
        if self._began is not None and self._ends is None:
            loop = asyncio.get_running_loop()
            self._ends = loop.call_later(self.queued_duration, self._end)

    def clear_buffer(self) -> None:
        now = time.monotonic()
        if self.queued_duration:
            self._queued_until = self.heard[-1].end = now
        if self._began is not None:
            self._end(interrupted=True)

    def _end(self, *, interrupted: bool = False) -> None:
        if self._ends:
            self._ends.cancel()
        played = max(time.monotonic() - (self._began or 0.0), 0.0)
        self._ends = self._began = None
        self.on_playback_finished(playback_position=played, interrupted=interrupted)


class LoudVad(vad.VAD):
    """Takes every loud frame for speech."""

    def __init__(self) -> None:
        super().__init__(capabilities=vad.VADCapabilities(update_interval=STEP))

    def stream(self) -> vad.VADStream:
        return _LoudStream(self)


class _LoudStream(vad.VADStream):
    async def _main_task(self) -> None:
        speech: list[rtc.AudioFrame] = []
        silence = 0.0
        async for frame in self._input_ch:
            if not isinstance(frame, rtc.AudioFrame):
                continue
            is_loud = any(frame.data[:4])
            if is_loud and not speech:
                self._emit(vad.VADEventType.START_OF_SPEECH, [frame], 0.0)
            if is_loud or speech:
                speech.append(frame)
                silence = 0.0 if is_loud else silence + frame.duration
                self._emit(vad.VADEventType.INFERENCE_DONE, speech, silence)
            if speech and silence >= MIN_SILENCE:
                self._emit(vad.VADEventType.END_OF_SPEECH, speech, silence)
                speech, silence = [], 0.0

    def _emit(self, kind: vad.VADEventType, speech: list[rtc.AudioFrame], silence: float) -> None:
        spoken = sum(frame.duration for frame in speech) - silence
        self._event_ch.send_nowait(
            vad.VADEvent(
                type=kind,
                samples_index=0,
                timestamp=time.time(),
                speech_duration=spoken,
                silence_duration=silence,
                frames=list(speech) if kind is vad.VADEventType.END_OF_SPEECH else [],
                speaking=True,
                raw_accumulated_silence=silence,
                raw_accumulated_speech=0.0 if silence else spoken,
            )
        )
