"""A caller who converses: says clips, and tells the agent's sentences by their chords."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np

from gateway.config.settings import Config
from gateway.tools.simulate.caller import (
    RULE_ID,
    SAMPLE_RATE,
    Caller,
    CallerError,
    sip_token,
    wav_frames,
)
from gateway.tools.simulate.clips import clip
from gateway.tools.simulate.jambonz import Jambonz
from gateway.tools.simulate.tones import PAUSE, Ear, Heard, chord_of

#: In Hz: enough for all chords.
EAR_RATE = 8_000
#: How long what must come may take, in s, on a busy machine.
LIMIT = 30.0
POLL_INTERVAL = 0.05


class NotHeard(CallerError):
    """A sentence did not come in time; the text says what did."""


@dataclass
class Telephone:
    """One call. All positions are in s of the caller's recording.

    `dialed` is when the call began, by the event loop's clock.
    """

    call_id: str
    caller: Caller
    dialed: float
    _ear: Ear = field(default_factory=lambda: Ear(EAR_RATE))

    async def says(self, name: str) -> float:
        """Say a clip; returns the position of its last sound."""
        return await self.caller.say(wav_frames(clip(name)))

    def heard(self) -> list[Heard]:
        """All sentences so far, and the one that is being heard."""
        recording = self.caller.recording[:: SAMPLE_RATE // EAR_RATE]
        return self._ear.listen(np.array(recording, dtype=np.int16))

    async def hears(self, sentence: str, *, after: float = 0.0, within: float = LIMIT) -> Heard:
        """Wait until the sentence begins, later than the position `after`. Raises NotHeard."""
        return await self._hears(sentence, after, within, 0.0)

    async def hears_out(self, sentence: str, *, after: float = 0.0, within: float = LIMIT) -> Heard:
        """Wait until the sentence has ended, or was cut off. Raises NotHeard."""
        return await self._hears(sentence, after, within, PAUSE)

    async def _hears(self, sentence: str, after: float, within: float, silence: float) -> Heard:
        chord, loop = chord_of(sentence), asyncio.get_running_loop()
        deadline = loop.time() + within
        while True:
            for it in self.heard():
                if it.chord == chord and it.start >= after and self.has_passed(it.end + silence):
                    return it
            if loop.time() > deadline:
                raise NotHeard(f"not heard within {within:g} s: {sentence!r}; but {self.heard()}")
            await asyncio.sleep(POLL_INTERVAL)

    def has_passed(self, position: float) -> bool:
        """Whether the recording has come so far; after the call no more comes."""
        return self.caller.position >= position or self.caller.hung_up.is_set()

    async def is_hung_up(self, *, within: float = LIMIT) -> float:
        """Wait until the other end has hung up; returns the position. Raises TimeoutError."""
        await asyncio.wait_for(self.caller.hung_up.wait(), within)
        return self.caller.position


@asynccontextmanager
async def inbound_call(config: Config, jambonz: Jambonz) -> AsyncIterator[Telephone]:
    """A call by Jambonz, answered; leaving the context hangs it up.

    `config` leads to the gateway's LiveKit. Raises GatewayError, TimeoutError.
    """
    dialed = asyncio.get_running_loop().time()
    (dial, *_) = await jambonz.call_arrives()
    call_id = dial["headers"]["X-Call-Id"]
    token = sip_token(config, call_id, jambonz.from_number, rule_id=RULE_ID)
    async with _telephone(config, call_id, token, dialed) as telephone:
        await asyncio.wait_for(telephone.caller.agent_audio(), LIMIT)
        await jambonz.far_status("in-progress")
        await jambonz.status("in-progress")
        yield telephone


@asynccontextmanager
async def outbound_call(config: Config, call_id: str, number: str) -> AsyncIterator[Telephone]:
    """The callee's end of a call that the agent dials. It rings until the caller's `answer()`.

    Leaving the context hangs it up. Raises CallerError, TimeoutError.
    """
    dialed = asyncio.get_running_loop().time()
    token = sip_token(config, call_id, number, status="ringing")
    async with _telephone(config, call_id, token, dialed) as telephone:
        await asyncio.wait_for(telephone.caller.agent_audio(), LIMIT)
        yield telephone


@asynccontextmanager
async def _telephone(
    config: Config, call_id: str, token: str, dialed: float
) -> AsyncIterator[Telephone]:
    async with Caller.joined(config.livekit.url, token) as caller:
        await caller.lift()
        yield Telephone(call_id, caller, dialed)
