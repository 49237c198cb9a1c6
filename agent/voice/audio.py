"""The agent's audio track, published before anybody is in the room."""

from livekit import rtc
from livekit.agents.voice.room_io._output import _ParticipantAudioOutput

from agent.room import publish

#: In Hz: what models' voices come in.
SAMPLE_RATE = 24_000


class CallAudio(_ParticipantAudioOutput):
    """As the framework's own output, but published at once.

    The framework publishes it once a participant has joined. LiveKit answers a caller on it, and
    the gateway dials nobody before it is there: it would wait for ever. (livekit-agents 1.8.9)
    """

    def __init__(self, room: rtc.Room) -> None:
        super().__init__(
            room,
            sample_rate=SAMPLE_RATE,
            num_channels=1,
            track_publish_options=rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
        )

    async def publish(self) -> None:
        """Publish the track. Raises RoomEnded, TimeoutError."""
        track = rtc.LocalAudioTrack.create_audio_track(self._track_name, self._audio_source)
        self._publication = await publish(self._room, track, self._publish_options)

    async def _publish_track(self) -> None:
        """Called by start(), which plays what is captured once somebody has subscribed."""
        if self._publication is None:
            raise RuntimeError("publish() comes first")
        await self._publication.wait_for_subscription()
        if not self._subscribed_fut.done():
            self._subscribed_fut.set_result(None)
