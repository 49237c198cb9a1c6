"""A name server on loopback, as a real UDP socket."""

import asyncio
import ipaddress
import struct
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

A, AAAA = 1, 28
NAME_ERROR = 3


@dataclass
class NameServer(asyncio.DatagramProtocol):
    """Answers A queries from `addresses`, each lookup by the next entry, the last one for ever.

    A name that is not listed does not exist; an empty list is never answered, and neither is
    anything while `silent`.
    """

    addresses: dict[str, list[str]] = field(default_factory=dict)
    silent: bool = False
    queries: list[str] = field(default_factory=list)
    address: str = ""
    _transport: asyncio.DatagramTransport | None = None

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["NameServer"]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        host, port = transport.get_extra_info("sockname")
        self.address = f"{host}:{port}"
        try:
            yield self
        finally:
            transport.close()

    async def asked(self, names: Iterable[str]) -> None:
        """Wait until all of `names` have been asked for. Raises TimeoutError after 20 s."""
        async with asyncio.timeout(20):
            while set(names) - set(self.queries):
                await asyncio.sleep(0.01)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        name, question, kind = _question(data)
        self.queries.append(name)
        if self.silent or (name in self.addresses and not self.addresses[name]):
            return
        assert self._transport
        known = self.addresses.get(name)
        found: Sequence[str] = ()
        if known and kind == A:
            found = known.pop(0).split() if len(known) > 1 else known[0].split()
        code = 0 if known else NAME_ERROR
        self._transport.sendto(_answer(data[:2], question, code, found), addr)


def _question(data: bytes) -> tuple[str, bytes, int]:
    """The name that `data` asks for, the question's bytes, and the type of the record."""
    labels, position = [], 12
    while length := data[position]:
        labels.append(data[position + 1 : position + 1 + length].decode().lower())
        position += 1 + length
    (kind,) = struct.unpack_from("!H", data, position + 1)
    return ".".join(labels), data[12 : position + 5], kind


def _answer(query_id: bytes, question: bytes, code: int, addresses: Sequence[str]) -> bytes:
    header = query_id + struct.pack("!HHHHH", 0x8180 | code, 1, len(addresses), 0, 0)
    records = b"".join(
        struct.pack("!HHHIH", 0xC00C, A, 1, 0, 4) + ipaddress.IPv4Address(address).packed
        for address in addresses
    )
    return header + question + records
