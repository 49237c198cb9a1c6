"""The ear and mouth of a SIPp callee: hears RTP and answers each packet with one of a tone."""

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

    def pitch(self, *, seconds: float) -> float:
        """Hz of what came in the last `seconds`, by counting how often it crosses zero."""
        last = self.heard[-int(seconds * RATE) :]
        return sum(1 for a, b in itertools.pairwise(last) if a < 0 <= b) / seconds


def _mu_law(sample: int) -> int:
    magnitude = min(abs(sample), 32_635) + 132
    exponent = magnitude.bit_length() - 8
    mantissa = magnitude >> (exponent + 3) & 0x0F
    return ~((0x80 if sample < 0 else 0) | exponent << 4 | mantissa) & 0xFF


def _linear(coded: int) -> int:
    coded = ~coded & 0xFF
    magnitude = (((coded & 0x0F) << 3) + 132 << (coded >> 4 & 7)) - 132
    return -magnitude if coded & 0x80 else magnitude
