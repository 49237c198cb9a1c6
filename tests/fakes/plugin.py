"""A plugin of livekit-agents: models that answer, fail or hang, by their argument `does`."""

import asyncio
from typing import Any, Literal

from livekit import rtc
from livekit.agents import APIConnectionError, APIConnectOptions, llm, stt, tts
from livekit.agents.llm import ChatChunk, ChoiceDelta

Behaviour = Literal["answers", "fails", "hangs"]
RATE = 16_000


async def _behave(does: Behaviour) -> None:
    if does == "hangs":
        await asyncio.sleep(60)
    if does == "fails":
        raise APIConnectionError("refused")


class STT(stt.STT[Any]):
    """Understands its own `hears`; fails where its key is missing."""

    def __init__(
        self,
        *,
        does: Behaviour = "answers",
        hears: str = "hello",
        language: str = "",
        api_key: str = "key",
    ) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=False, interim_results=False))
        if api_key != "key":
            raise ValueError(f"FAKE_API_KEY is not set, and {api_key} is none")
        self.language = language
        self._does = does
        self._hears = hears
        self.utterances = 0

    async def _recognize_impl(self, buffer: Any, **_: Any) -> stt.SpeechEvent:
        self.utterances += 1
        await _behave(self._does)
        heard = stt.SpeechData(language="en", text=self._hears)  # type: ignore[arg-type]
        return stt.SpeechEvent(stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[heard])


class LLM(llm.LLM[Any]):
    def __init__(self, model: str, does: Behaviour = "answers") -> None:
        super().__init__()
        self._does = does

    def chat(self, *, conn_options: APIConnectOptions, **arguments: Any) -> llm.LLMStream:  # type: ignore[override]
        tools = arguments.get("tools") or []
        chat_ctx = arguments["chat_ctx"]
        return _Answer(self, chat_ctx=chat_ctx, tools=tools, conn_options=conn_options)


class _Answer(llm.LLMStream):
    async def _run(self) -> None:
        fake: Any = self._llm
        await _behave(fake._does)
        self._event_ch.send_nowait(ChatChunk(id="1", delta=ChoiceDelta(content="yes")))


class TTS(tts.TTS[Any]):
    def __init__(self, *, does: Behaviour = "answers", voice_id: str = "", **_: object) -> None:
        capabilities = tts.TTSCapabilities(streaming=False)
        super().__init__(capabilities=capabilities, sample_rate=RATE, num_channels=1)
        self.voice_id = voice_id
        self.does = does

    def synthesize(self, text: str, *, conn_options: APIConnectOptions) -> tts.ChunkedStream:  # type: ignore[override]
        return _Speech(tts=self, input_text=text, conn_options=conn_options)


class _Speech(tts.ChunkedStream):
    async def _run(self, output_emitter: tts.AudioEmitter) -> None:
        fake: Any = self._tts
        await _behave(fake.does)
        output_emitter.initialize(
            request_id="1", sample_rate=RATE, num_channels=1, mime_type="audio/pcm"
        )
        output_emitter.push(bytes(RATE))


def audio(seconds: float = 0.1) -> rtc.AudioFrame:
    samples = round(RATE * seconds)
    return rtc.AudioFrame(bytes(2 * samples), RATE, 1, samples)
