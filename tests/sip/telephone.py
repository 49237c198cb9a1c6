"""The ear and mouth of a SIPp party: hears RTP and answers each packet with one of a tone."""

import array
import asyncio
import itertools
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

RATE = 8000
TONE_HZ = 440
#: Peak of 16-bit samples above which something is said rather than silence coded.
LOUD = 500
#: How near to the tone a pitch must be to be taken for it, in Hz.
NEAR_HZ = 30
#: How long the greeting may take to begin, in s.
GREETING_LIMIT = 20.0
#: How long the tone may take to come back: the agent greets first, in s.
ECHO_LIMIT = 15.0

_HEADER = struct.Struct("!BBHII")
_PCMU = 0


class Telephone(asyncio.DatagramProtocol):
    """G.711 µ-law over RTP. Its clock is the other side's: a packet for a packet."""

    def __init__(self) -> None:
        self.heard = array.array("h")
        self.spoken_to = asyncio.Event()
        self.port = 0
        self._packets = 0
        self._spoken = 0

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

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        if len(data) < _HEADER.size or data[1] & 0x7F != _PCMU:
            return
        coded = data[_HEADER.size :]
        samples = [_linear(byte) for byte in coded]
        self.heard.extend(samples)
        if max(samples, default=0) > LOUD:
            self.spoken_to.set()
        self._transport.sendto(self._next_packet(len(coded)), addr)

    def _next_packet(self, samples: int) -> bytes:
        header = _HEADER.pack(0x80, _PCMU, self._packets & 0xFFFF, self._spoken, 0x7E1E)
        angle = 2 * math.pi * TONE_HZ / RATE
        tone = range(self._spoken, self._spoken + samples)
        self._packets += 1
        self._spoken += samples
        return header + bytes(_mu_law(int(8000 * math.sin(angle * at))) for at in tone)

    async def greeted(self) -> None:
        """Wait until somebody says something."""
        await asyncio.wait_for(self.spoken_to.wait(), GREETING_LIMIT)

    async def echoed(self) -> None:
        """Wait until its own tone has come back for a second, and nothing else."""
        async with asyncio.timeout(ECHO_LIMIT):
            while not self._hears_tone():
                await asyncio.sleep(0.05)

    def _hears_tone(self) -> bool:
        """Whether each tenth of the last second is the tone: speech is at times, on average."""
        last, tenth = self.heard[-RATE:], RATE // 10
        pieces = [last[start : start + tenth] for start in range(0, RATE, tenth)]
        return all(abs(_pitch(piece) - TONE_HZ) <= NEAR_HZ for piece in pieces)


def _pitch(samples: "array.array[int]") -> float:
    """In Hz, by counting how often it crosses zero; 0 for none."""
    crossings = sum(1 for a, b in itertools.pairwise(samples) if a < 0 <= b)
    return crossings * RATE / len(samples) if samples else 0.0


def _mu_law(sample: int) -> int:
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | mantissa) & 0xFF


def _linear(coded: int) -> int:
    coded = ~coded & 0xFF
    magnitude = (((coded & 0x0F) << 3) + 132 << (coded >> 4 & 7)) - 132
    return -magnitude if coded & 0x80 else magnitude
