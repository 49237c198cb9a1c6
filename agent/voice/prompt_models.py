"""Speech models that answer in time or fail.

Plugins that make a request for each sentence or utterance limit the time to connect, not the time
to answer: with openai's a server that hangs is noticed after 30 s.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from typing import Any, TypeVar

from livekit.agents import APIConnectOptions, APITimeoutError, stt, tts
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS, NOT_GIVEN, NotGivenOr
from livekit.agents.utils import AudioBuffer, shortuuid

T = TypeVar("T")
STT = stt.STT[Any]
TTS = tts.TTS[Any]


class PromptSTT(STT):
    """`wrapped`, which recognizes whole utterances, each within `limit` s."""

    def __init__(self, wrapped: STT, limit: float) -> None:
        super().__init__(capabilities=wrapped.capabilities)
        self._label = wrapped.label
        self.wrapped = wrapped
        self._limit = limit

    @property
    def model(self) -> str:
        return self.wrapped.model

    @property
    def provider(self) -> str:
        return self.wrapped.provider

    async def _recognize_impl(
        self,
        buffer: AudioBuffer,
        *,
        language: NotGivenOr[str] = NOT_GIVEN,
        conn_options: APIConnectOptions,
    ) -> stt.SpeechEvent:
        try:
            async with asyncio.timeout(self._limit):
                return await self.wrapped.recognize(
                    buffer, language=language, conn_options=replace(conn_options, max_retry=0)
                )
        except TimeoutError:
            raise _late(self._limit) from None

    def _update_session_keyterms(self, keyterms: list[str]) -> None:
        self.wrapped._update_session_keyterms(keyterms)

    async def aclose(self) -> None:
        await self.wrapped.aclose()


class PromptTTS(TTS):
    """`wrapped`, which speaks whole sentences: each part of the audio comes within `limit` s."""

    def __init__(self, wrapped: TTS, limit: float) -> None:
        super().__init__(
            capabilities=wrapped.capabilities,
            sample_rate=wrapped.sample_rate,
            num_channels=wrapped.num_channels,
        )
        self._label = wrapped.label
        self.wrapped = wrapped
        self.limit = limit
        wrapped.on("metrics_collected", lambda metrics: self.emit("metrics_collected", metrics))

    @property
    def model(self) -> str:
        return self.wrapped.model

    @property
    def provider(self) -> str:
        return self.wrapped.provider

    def synthesize(
        self, text: str, *, conn_options: APIConnectOptions = DEFAULT_API_CONNECT_OPTIONS
    ) -> tts.ChunkedStream:
        return _PromptStream(self, text, conn_options)

    def prewarm(self) -> None:
        self.wrapped.prewarm()

    async def aclose(self) -> None:
        await self.wrapped.aclose()


class _PromptStream(tts.ChunkedStream):
    def __init__(self, prompt: PromptTTS, text: str, conn_options: APIConnectOptions) -> None:
        super().__init__(tts=prompt, input_text=text, conn_options=conn_options)
        self._prompt = prompt

    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        wrapped = self._prompt.wrapped
        output_emitter.initialize(
            request_id=shortuuid(),
            sample_rate=wrapped.sample_rate,
            num_channels=wrapped.num_channels,
            mime_type="audio/pcm",
        )
        options = replace(self._conn_options, max_retry=0)
        async with wrapped.synthesize(self.input_text, conn_options=options) as stream:
            async for audio in _each_within(self._prompt.limit, stream):
                output_emitter.push_frame(audio.frame)

    async def _metrics_monitor_task(self, event_aiter: AsyncIterable[Any]) -> None:
        """The wrapped TTS measures itself, and knows what it cost."""
        async for _ in event_aiter:
            pass


async def _each_within(limit: float, items: AsyncIterator[T]) -> AsyncIterator[T]:
    """Raises APITimeoutError as soon as one takes longer than `limit` s."""
    while True:
        try:
            async with asyncio.timeout(limit):
                item = await anext(items)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise _late(limit) from None
        yield item


def _late(limit: float) -> APITimeoutError:
    return APITimeoutError(f"no answer within {limit:g} s")
