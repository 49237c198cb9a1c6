"""A party of a SIP call, played by SIPp from a scenario, and the messages that it has seen."""

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
#: How long SIPp may take to listen, and how long a step of its call may take, in s.
START_LIMIT = 10.0
CALL_LIMIT = 30.0
#: SIPp writes this above each message of its log.
_TIMESTAMP = re.compile(r"^-{20,} (\S+)[ \t](\S+)", re.MULTILINE)


class SippError(Exception):
    """The call did not go as in the scenario; the text has SIPp's error or the messages."""


class Sipp:
    """One party of one call. Start it with `running()`."""

    def __init__(
        self, process: asyncio.subprocess.Process, folder: Path, address: tuple[str, int]
    ) -> None:
        self._process = process
        self._folder = folder
        self._address = address

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        scenario: str,
        address: str,
        port: int,
        folder: Path,
        *,
        remote: str = "",
        **variables: str,
    ) -> AsyncIterator[Self]:
        """A party at this UDP address. Each `[variable]` in the scenario is replaced by its value.

        It calls `remote` (host and port) if that is given, else it waits to be called. Its files
        are in `folder`.
        """
        _write_scenario(scenario, folder, variables)
        process = await asyncio.create_subprocess_exec(
            *("sipp", *([remote] if remote else [])),
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
            if not remote:
                await party._listening(port)
            yield party
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def message(self, start: str) -> str:
        """Wait for a message that starts with `start`; returns its text. Raises SippError."""
        pattern = re.compile(rf"(?ms)^{re.escape(start)}.*?(?=\n-{{20}}|\Z)")
        try:
            async with asyncio.timeout(CALL_LIMIT):
                while not (match := pattern.search(self.messages)):
                    self._check()
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise SippError(f"SIPp did not see {start!r}\n{self.messages}") from None
        return match[0]

    def send_info(self) -> None:
        """Let the scenario proceed where it waits for an INFO.

        SIPp matches messages by their Call-ID alone. The other party does not see this one.
        """
        lines = [
            "INFO sip:party SIP/2.0",
            f"Via: SIP/2.0/UDP {self._address[0]};branch=z9hG4bK{secrets.token_hex(8)}",
            "From: <sip:test>;tag=test",
            "To: <sip:party>",
            f"Call-ID: {self.invite_header('Call-ID')}",
            "CSeq: 1 INFO",
            "Content-Length: 0",
        ]
        with socket.socket(type=socket.SOCK_DGRAM) as sender:
            sender.sendto("\r\n".join([*lines, "", ""]).encode(), self._address)

    async def finished(self) -> None:
        """Wait until the whole scenario has been played. Raises SippError."""
        try:
            await asyncio.wait_for(self._process.wait(), CALL_LIMIT)
        except TimeoutError:
            raise SippError(f"SIPp still waits\n{self.messages}") from None
        self._check()

    @property
    def messages(self) -> str:
        """The call's messages as SIPp has logged them, complete once the call has ended."""
        return self._read("messages.log")

    @property
    def invited_at(self) -> datetime:
        """When the INVITE was seen."""
        date, time = self._search(_TIMESTAMP)
        return datetime.fromisoformat(f"{date}T{time}").astimezone(UTC)

    @property
    def request_uri(self) -> str:
        """The INVITE's."""
        (uri,) = self._search(re.compile(r"^INVITE (\S+) SIP/2\.0", re.MULTILINE))
        return uri

    def invite_header(self, name: str) -> str:
        (value,) = self._search(re.compile(rf"^{name}: *(.*?)\r?$", re.MULTILINE))
        return value

    def _search(self, pattern: re.Pattern[str]) -> tuple[str, ...]:
        match = pattern.search(self.messages)
        if not match:
            raise SippError(f"no INVITE with {pattern.pattern}\n{self.messages}")
        return match.groups()

    async def _listening(self, port: int) -> None:
        async with asyncio.timeout(START_LIMIT):
            while not _is_bound(port):
                self._check()
                await asyncio.sleep(0.01)

    def _check(self) -> None:
        if code := self._process.returncode:
            error = self._read("errors.log") or self.messages
            raise SippError(f"SIPp ended with exit code {code}\n{error}")

    def _read(self, name: str) -> str:
        path = self._folder / name
        return path.read_text(errors="replace") if path.is_file() else ""


def _is_bound(port: int) -> bool:
    """Whether a process listens at this UDP port."""
    sockets = Path("/proc/net/udp").read_text(encoding="ascii")
    return f":{port:04X} 00000000:0000" in sockets


def _write_scenario(name: str, folder: Path, variables: Mapping[str, str]) -> None:
    scenario = (SCENARIOS / f"{name}.xml").read_text(encoding="utf-8")
    for variable, value in variables.items():
        scenario = scenario.replace(f"[{variable}]", value)
    folder.mkdir(exist_ok=True)
    (folder / "scenario.xml").write_text(scenario, encoding="utf-8")
