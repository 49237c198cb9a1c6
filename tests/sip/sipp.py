"""The other side of a SIP call: SIPp, playing one call by a scenario, and what it saw of it."""

import asyncio
import re
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

SCENARIOS = Path(__file__).with_name("scenarios")
#: How long SIPp may take to start, and to end once its call is over, in s.
START_LIMIT = 10.0
END_LIMIT = 30.0
#: What SIPp writes above each message of its trace.
_STAMP = re.compile(r"^-{20,} (\S+)[ \t](\S+)", re.MULTILINE)


class SippError(Exception):
    """SIPp did not see the call that its scenario describes; the text has its complaint."""


class Sipp:
    """One party of one call. Make one with `playing()`."""

    def __init__(
        self, process: asyncio.subprocess.Process, folder: Path, address: tuple[str, int]
    ) -> None:
        self._process = process
        self._folder = folder
        self._address = address

    @classmethod
    @asynccontextmanager
    async def playing(
        cls, scenario: str, address: str, port: int, folder: Path, *, call: str = "", **words: str
    ) -> AsyncIterator[Self]:
        """A party at `address` by UDP; each `[word]` of the scenario is replaced.

        It calls `call` (host and port) if that is given, else it is there to be called. Its files
        go to `folder`.
        """
        _write_scenario(scenario, folder, words)
        process = await asyncio.create_subprocess_exec(
            *("sipp", *([call] if call else [])),
            *("-sf", "scenario.xml", "-m", "1", "-nostdin", "-i", address, "-p", str(port)),
            *("-trace_msg", "-message_file", "messages.log"),
            *("-trace_err", "-error_file", "errors.log"),
            cwd=folder,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        party = cls(process, folder, (address, port))
        try:
            if not call:
                await party._listening(port)
            yield party
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def invited(self) -> None:
        """Wait for the INVITE."""
        await self.sees("INVITE ")

    async def sees(self, beginning: str) -> str:
        """Wait for a message that begins so; its text. Raises SippError."""
        pattern = re.compile(rf"(?ms)^{re.escape(beginning)}.*?(?=\n-{{20}}|\Z)")
        try:
            async with asyncio.timeout(END_LIMIT):
                while not (found := pattern.search(self.trace)):
                    self._check()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise SippError(f"SIPp never sees {beginning!r}\n{self.trace}") from None
        return found[0]

    def tell(self) -> None:
        """Have the scenario go on where it waits for an INFO.

        SIPp goes by the Call-ID alone: nobody but it sees the message.
        """
        lines = [
            "INFO sip:party SIP/2.0",
            f"Via: SIP/2.0/UDP {self._address[0]};branch=z9hG4bK{secrets.token_hex(8)}",
            "From: <sip:test>;tag=test",
            "To: <sip:party>",
            f"Call-ID: {self.header('Call-ID')}",
            "CSeq: 1 INFO",
            "Content-Length: 0",
        ]
        with socket.socket(type=socket.SOCK_DGRAM) as line:
            line.sendto("\r\n".join([*lines, "", ""]).encode(), self._address)

    async def played(self) -> None:
        """Wait until the call went as the scenario has it. Raises SippError."""
        try:
            await asyncio.wait_for(self._process.wait(), END_LIMIT)
        except TimeoutError:
            raise SippError(f"SIPp still waits\n{self.trace}") from None
        self._check()

    @property
    def trace(self) -> str:
        """The messages of the call, as SIPp wrote them down; whole once it has ended."""
        return self._read("messages.log")

    @property
    def invited_at(self) -> datetime:
        """When the INVITE came."""
        date, time = self._found(_STAMP)
        return datetime.fromisoformat(f"{date}T{time}").astimezone(UTC)

    @property
    def dialed(self) -> str:
        """The SIP URI that the INVITE is for."""
        (uri,) = self._found(re.compile(r"^INVITE (\S+) SIP/2\.0", re.MULTILINE))
        return uri

    def header(self, name: str) -> str:
        """The INVITE's header `name`."""
        (value,) = self._found(re.compile(rf"^{name}: *(.*?)\r?$", re.MULTILINE))
        return value

    def _found(self, pattern: re.Pattern[str]) -> tuple[str, ...]:
        found = pattern.search(self.trace)
        if not found:
            raise SippError(f"no INVITE with {pattern.pattern}\n{self.trace}")
        return found.groups()

    async def _listening(self, port: int) -> None:
        async with asyncio.timeout(START_LIMIT):
            while not _is_bound(port):
                self._check()
                await asyncio.sleep(0.01)

    def _check(self) -> None:
        if code := self._process.returncode:
            complaint = self._read("errors.log") or self.trace
            raise SippError(f"SIPp ended with exit code {code}\n{complaint}")

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(errors="replace") if path.is_file() else ""


def _is_bound(port: int) -> bool:
    """Whether somebody listens at this UDP port."""
    sockets = Path("/proc/net/udp").read_text(encoding="ascii")
    return f":{port:04X} 00000000:0000" in sockets


def _write_scenario(name: str, folder: Path, words: Mapping[str, str]) -> None:
    script = (SCENARIOS / f"{name}.xml").read_text(encoding="utf-8")
    for word, value in words.items():
        script = script.replace(f"[{word}]", value)
    folder.mkdir(exist_ok=True)
    (folder / "scenario.xml").write_text(script, encoding="utf-8")
