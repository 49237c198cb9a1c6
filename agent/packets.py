"""Counts the packets of audio between LiveKit and the agent that came, and those that were lost."""

import asyncio
from collections.abc import Iterator, Sequence

from livekit import rtc
from livekit.rtc._proto.stats_pb2 import RtcStats

from agent.record import Record

#: Between two counts, in s, and how long one may take.
INTERVAL = 5.0
COUNT_TIMEOUT = 2.0


class PacketCounter:
    """Of one call; what it counts is in the call's `record`.

    A stream that has ended, as of a caller who was transferred, still counts.
    """

    def __init__(self, record: Record) -> None:
        self._record = record
        #: By the number of the stream (its SSRC): how many packets came, and how many were lost.
        self._from_caller: dict[int, tuple[int, int]] = {}
        self._to_caller: dict[int, tuple[int, int]] = {}

    async def watch(self, room: rtc.Room) -> None:
        """Count as long as the call goes on."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                async with asyncio.timeout(COUNT_TIMEOUT):
                    stats = await room.get_rtc_stats()
            except (RuntimeError, TimeoutError):
                continue  # it is being connected, or is no more
            # One connection may carry both directions: then either list has all.
            self.count([*stats.subscriber_stats, *stats.publisher_stats])

    def count(self, stats: Sequence[RtcStats]) -> None:
        """`stats` are all that WebRTC has now (W3C webrtc-stats)."""
        self._from_caller.update(_received(stats))
        self._to_caller.update(_sent(stats))
        self._record.packets = {
            "from_caller": _sum(self._from_caller),
            "to_caller": _sum(self._to_caller),
        }


def _received(stats: Sequence[RtcStats]) -> Iterator[tuple[int, tuple[int, int]]]:
    for it in stats:
        if it.HasField("inbound_rtp") and it.inbound_rtp.stream.kind == "audio":
            received = it.inbound_rtp.received
            # Less than none: duplicates count against what was lost (RFC 3550 §6.4.1).
            lost = max(0, received.packets_lost)
            yield it.inbound_rtp.stream.ssrc, (received.packets_received, lost)


def _sent(stats: Sequence[RtcStats]) -> Iterator[tuple[int, tuple[int, int]]]:
    """What LiveKit has received of what was sent, as its RTCP reports tell."""
    sent = {
        it.outbound_rtp.stream.ssrc: it.outbound_rtp.sent.packets_sent
        for it in stats
        if it.HasField("outbound_rtp") and it.outbound_rtp.stream.kind == "audio"
    }
    for it in stats:
        if it.HasField("remote_inbound_rtp") and it.remote_inbound_rtp.stream.ssrc in sent:
            ssrc = it.remote_inbound_rtp.stream.ssrc
            lost = max(0, it.remote_inbound_rtp.received.packets_lost)
            yield ssrc, (max(0, sent[ssrc] - lost), lost)


def _sum(streams: dict[int, tuple[int, int]]) -> dict[str, int] | None:
    if not streams:
        return None
    received, lost = map(sum, zip(*streams.values(), strict=True))
    return {"received": received, "lost": lost}
