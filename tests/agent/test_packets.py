"""How many packets of a call's audio came and were lost, by what WebRTC counts."""

from livekit.rtc._proto.stats_pb2 import RtcStats

from agent.packets import PacketCounter
from agent.record import Record


def received(ssrc: int, packets: int, lost: int, kind: str = "audio") -> RtcStats:
    stats = RtcStats()
    stats.inbound_rtp.stream.ssrc, stats.inbound_rtp.stream.kind = ssrc, kind
    stats.inbound_rtp.received.packets_received = packets
    stats.inbound_rtp.received.packets_lost = lost
    return stats


def sent(ssrc: int, packets: int, lost: int) -> list[RtcStats]:
    own, remote = RtcStats(), RtcStats()
    own.outbound_rtp.stream.ssrc, own.outbound_rtp.stream.kind = ssrc, "audio"
    own.outbound_rtp.sent.packets_sent = packets
    remote.remote_inbound_rtp.stream.ssrc = ssrc
    remote.remote_inbound_rtp.received.packets_lost = lost
    return [own, remote]


def test_both_directions_are_counted() -> None:
    record = Record()
    PacketCounter(record).count([received(1, 500, 3), RtcStats(), *sent(2, 400, 4)])
    assert record.report()["packets"] == {
        "from_caller": {"received": 500, "lost": 3},
        "to_caller": {"received": 396, "lost": 4},
    }


def test_a_stream_that_has_ended_still_counts_and_one_that_goes_on_counts_once() -> None:
    record = Record()
    counter = PacketCounter(record)
    counter.count([received(1, 500, 3)])
    counter.count([received(1, 600, 5), received(7, 10, 0)])
    counter.count([received(7, 100, 1)])
    assert record.packets == {"from_caller": {"received": 700, "lost": 6}, "to_caller": None}


def test_neither_video_nor_duplicates_are_lost_audio() -> None:
    record = Record()
    PacketCounter(record).count([received(1, 50, -2), received(2, 9, 9, "video"), *sent(3, 50, -1)])
    assert record.packets == {
        "from_caller": {"received": 50, "lost": 0},
        "to_caller": {"received": 50, "lost": 0},
    }
