"""Many callees at one UDP address: each call is answered at once, by a telephone of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Self

from gateway.aio import BackgroundTasks
from tests.sip.telephone import Telephone

#: The headers of a request that its responses repeat (RFC 3261 §8.2.6.2).
_REPEATED = ("Via", "From", "To", "Call-ID", "CSeq")


@dataclass(frozen=True)
class Line:
    """A call that was answered at `answered_at`, by the event loop's clock."""

    phone: Telephone
    answered_at: float

    async def silence(self) -> float:
        """How long the callee heard nothing after the answer, in s."""
        await self.phone.greeted()
        assert self.phone.heard_at
        return self.phone.heard_at - self.answered_at


class Switchboard(asyncio.DatagramProtocol):
    """A SIP server (RFC 3261) that knows INVITE, ACK and BYE. Start it with `at()`."""

    def __init__(self, address: str, phones: AsyncExitStack) -> None:
        self.lines: dict[str, Line] = {}
        self._address = address
        self._phones = phones
        self._tasks = BackgroundTasks()
        self._ringing: set[str] = set()

    @classmethod
    @asynccontextmanager
    async def at(cls, address: str, port: int) -> AsyncIterator[Self]:
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as phones:
            transport, board = await loop.create_datagram_endpoint(
                lambda: cls(address, phones), local_addr=(address, port)
            )
            try:
                yield board
            finally:
                transport.close()
                await board._tasks.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        method, _, _ = data.decode().partition(" ")
        headers = _headers(data.decode())
        if method == "BYE":
            self._respond(headers, addr)
        call_id = headers["Call-ID"][0]
        if method == "INVITE" and call_id not in self._ringing:  # else it is a repetition
            self._ringing.add(call_id)
            self._tasks.spawn(self._answer(call_id, headers, addr), name=f"answer {call_id}")

    async def _answer(
        self, call_id: str, headers: dict[str, list[str]], addr: tuple[str | int, ...]
    ) -> None:
        phone = await self._phones.enter_async_context(Telephone.at(self._address))
        self.lines[call_id] = Line(phone, asyncio.get_running_loop().time())
        sdp = [
            "v=0",
            f"o=callee 1 1 IN IP4 {self._address}",
            "s=-",
            f"c=IN IP4 {self._address}",
            "t=0 0",
            f"m=audio {phone.port} RTP/AVP 0",
            "a=rtpmap:0 PCMU/8000",
            "a=ptime:20",
        ]
        self._respond(headers, addr, "".join(f"{line}\r\n" for line in sdp))

    def _respond(
        self, headers: dict[str, list[str]], addr: tuple[str | int, ...], sdp: str = ""
    ) -> None:
        """Send a 200."""
        port = self._transport.get_extra_info("sockname")[1]
        lines = [
            "SIP/2.0 200 OK",
            *(f"{name}: {value}" for name in _REPEATED for value in headers[name]),
            f"Contact: <sip:callee@{self._address}:{port}>",
            *(["Content-Type: application/sdp"] if sdp else []),
            f"Content-Length: {len(sdp)}",
        ]
        response = "\r\n".join([*lines, "", sdp])
        self._transport.sendto(response.encode(), addr)


def _headers(request: str) -> dict[str, list[str]]:
    """The headers that responses repeat, the To with a tag."""
    headers: dict[str, list[str]] = {name: [] for name in _REPEATED}
    for line in request.partition("\r\n\r\n")[0].split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name in headers:
            headers[name].append(value.strip())
    headers["To"] = [to if ";tag=" in to else f"{to};tag=callee" for to in headers["To"]]
    return headers
