"""The audio of a SIPp party: receives RTP and answers each packet with one of a tone."""

import array
import asyncio
import itertools
import math
import struct
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

RATE = 8000
TONE_HZ = 440
#: A 16-bit sample above this is speech or a tone, not coded silence.
LOUD = 500
#: A pitch is taken for the tone's if it differs by at most this, in Hz.
TOLERANCE_HZ = 30
#: How long the agent's greeting may take to begin, in s.
GREETING_LIMIT = 20.0
#: How long the tone's echo may take, in s: the agent finishes its greeting first.
ECHO_LIMIT = 15.0

_HEADER = struct.Struct("!BBHII")
_PCMU = 0
#: Keys by RFC 4733: the payload type in the scenarios, their codes, and the packets of one.
_EVENT = 101
_EVENTS = "0123456789*#ABCD"
_EVENT_PACKETS = 8


class Telephone(asyncio.DatagramProtocol):
    """G.711 µ-law over RTP. The other side's packets are its clock.

    `heard_at`: when it heard something first, by the event loop's clock.
    """

    def __init__(self) -> None:
        self.received = array.array("h")
        self.hears_sound = asyncio.Event()
        self.heard_at: float | None = None
        self.port = 0
        self._sent_packets = 0
        self._sent_samples = 0
        self._events: deque[bytes] = deque()
        self._pressed_at = 0

    @classmethod
    @asynccontextmanager
    async def at(cls, address: str) -> AsyncIterator[Self]:
        """A telephone on a free UDP port of `address`."""
        loop = asyncio.get_running_loop()
        transport, phone = await loop.create_datagram_endpoint(cls, local_addr=(address, 0))
        phone.port = transport.get_extra_info("sockname")[1]
        try:
            yield phone
        finally:
            transport.close()

    # The base class declares any transport; that of a datagram endpoint is a DatagramTransport.
    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        if len(data) < _HEADER.size or data[1] & 0x7F != _PCMU:
            return
        payload = data[_HEADER.size :]
        samples = [_from_mu_law(byte) for byte in payload]
        self.received.extend(samples)
        if max(samples, default=0) > LOUD and self.heard_at is None:
            self.heard_at = asyncio.get_running_loop().time()
            self.hears_sound.set()
        self._transport.sendto(self._next_packet(len(payload)), addr)
        if self._events:
            self._transport.sendto(self._packet(self._events.popleft()), addr)

    def press(self, keys: str) -> None:
        """Press `keys` one after the other, while the tone goes on."""
        for key in keys:
            for number in range(1, _EVENT_PACKETS + 1):
                is_end = number > _EVENT_PACKETS - 3  # which is sent three times
                duration = min(number, _EVENT_PACKETS - 2) * RATE // 50
                end_and_volume = (0x80 if is_end else 0) | 10
                self._events.append(
                    struct.pack("!BBH", _EVENTS.index(key), end_and_volume, duration)
                )

    def _packet(self, event: bytes) -> bytes:
        """A packet of a key: all of one key have the time at which it was pressed."""
        left = len(self._events) % _EVENT_PACKETS
        if left == _EVENT_PACKETS - 1:
            self._pressed_at = self._sent_samples
        marker = 0x80 if left == _EVENT_PACKETS - 1 else 0
        number = self._sent_packets & 0xFFFF
        self._sent_packets += 1
        header = _HEADER.pack(0x80, marker | _EVENT, number, self._pressed_at, 0x7E1E)
        return header + event

    def _next_packet(self, samples: int) -> bytes:
        header = _HEADER.pack(0x80, _PCMU, self._sent_packets & 0xFFFF, self._sent_samples, 0x7E1E)
        payload = self._tone(samples)
        self._sent_packets += 1
        self._sent_samples += samples
        return header + payload

    def _tone(self, samples: int) -> bytes:
        """The next samples to send."""
        angle = 2 * math.pi * TONE_HZ / RATE
        positions = range(self._sent_samples, self._sent_samples + samples)
        return bytes(to_mu_law(int(8000 * math.sin(angle * at))) for at in positions)

    async def greeted(self) -> None:
        """Wait until the agent says something."""
        await asyncio.wait_for(self.hears_sound.wait(), GREETING_LIMIT)

    async def echoed(self) -> None:
        """Wait until a whole second of the telephone's tone, and nothing else, has come back."""
        async with asyncio.timeout(ECHO_LIMIT):
            while not self._hears_tone():
                await asyncio.sleep(0.05)

    def _hears_tone(self) -> bool:
        """Checks each tenth of the last second: the mean pitch of speech may be the tone's."""
        second, tenth = self.received[-RATE:], RATE // 10
        pieces = [second[start : start + tenth] for start in range(0, RATE, tenth)]
        return all(abs(_pitch(piece) - TONE_HZ) <= TOLERANCE_HZ for piece in pieces)


def _pitch(samples: "array.array[int]") -> float:
    """In Hz, from the number of zero crossings; 0 without samples."""
    crossings = sum(1 for a, b in itertools.pairwise(samples) if a < 0 <= b)
    return crossings * RATE / len(samples) if samples else 0.0


def to_mu_law(sample: int) -> int:
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | mantissa) & 0xFF


def _from_mu_law(byte: int) -> int:
    byte = ~byte & 0xFF
    magnitude = (((byte & 0x0F) << 3) + 132 << (byte >> 4 & 7)) - 132
    return -magnitude if byte & 0x80 else magnitude
