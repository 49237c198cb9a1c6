"""A SIP telephone that can demand encryption, played by baresip: TLS, and SRTP by SDES."""

import array
import asyncio
import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import psutil

from tests.sip.telephone import RATE

#: How long a step of a call may take, in s.
LIMIT = 20.0
#: Where Debian's package has them.
MODULES = "/usr/lib/baresip/modules"
_CONFIG = """\
poll_method epoll
sip_listen {address}:0
net_interface {interface}
audio_player alsa,null
audio_source aufile,{folder}/silence.wav
snd_path {folder}
module_path {modules}
module stdio.so
module g711.so
module alsa.so
module aufile.so
module sndfile.so
module srtp.so
module_app account.so
module_app menu.so
"""
_ACCOUNT = "<sip:+15550100@{address};transport=tls>;regint=0;audio_codecs=pcmu{options}\n"


class Baresip:
    """One call to `uri`. Start it with `calling()`."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.output = ""

    @classmethod
    @asynccontextmanager
    async def calling(
        cls, uri: str, address: str, folder: Path, *, encrypted: bool
    ) -> AsyncIterator[Self]:
        """A call from `address`, by TLS. `encrypted`: SRTP is demanded, else not offered."""
        options = ";mediaenc=srtp-mand" if encrypted else ""
        config = _CONFIG.format(
            address=address, interface=_interface(address), folder=folder, modules=MODULES
        )
        (folder / "config").write_text(config, encoding="utf-8")
        account = _ACCOUNT.format(address=address, options=options)
        (folder / "accounts").write_text(account, encoding="utf-8")
        with wave.open(str(folder / "silence.wav"), "wb") as silence:
            silence.setparams((1, 2, RATE, 0, "NONE", ""))
            silence.writeframes(bytes(2 * RATE * 60))
        process = await asyncio.create_subprocess_exec(
            *("baresip", "-f", str(folder), "-e", f"/dial {uri}"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        phone = cls(process, folder)
        try:
            yield phone
        finally:
            if process.returncode is None:
                process.terminate()  # it sends BYE
            output, _ = await process.communicate()
            phone.output += output.decode(errors="replace")

    async def shows(self, text: str) -> None:
        """Wait until baresip has printed what the pattern `text` matches."""
        assert self._process.stdout
        try:
            async with asyncio.timeout(LIMIT):
                while not re.search(text, self.output):
                    line = await self._process.stdout.readline()
                    assert line, self.output
                    self.output += line.decode(errors="replace")
        except TimeoutError:
            raise AssertionError(f"no {text!r} in {self.output}") from None

    @property
    def heard(self) -> "array.array[int]":
        """What the caller has heard, once the call is over."""
        (file,) = self._folder.glob("*dec.wav")
        data = file.read_bytes()[44:]
        return array.array("h", data[: len(data) // 2 * 2])


def _interface(address: str) -> str:
    """The name of the network interface with this address, from which audio is sent."""
    interfaces = psutil.net_if_addrs().items()
    return next(name for name, ends in interfaces if address in [end.address for end in ends])
