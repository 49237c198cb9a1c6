"""A model server that speaks OpenAI's API on loopback: scripted words, chords for a voice.

It has what the `openai` plugin of livekit-agents uses: chat completions with tools (streamed or
not), transcriptions and speech. Faults and delays can be changed while a call goes on.
"""

import asyncio
import io
import json
import time
import wave
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import BodyPartReader, web

from gateway.config.settings import LOOPBACK
from gateway.tools.simulate.model_script import Fault, Rule, Script, chunks, completion
from gateway.tools.simulate.recognizer import Recognize
from gateway.tools.simulate.tones import speech

#: In Hz: what OpenAI calls `pcm`.
SPEECH_RATE = 24_000
#: A minute of speech at 24 kHz, and more.
MAX_BODY = 4 * 1024 * 1024
#: How many requests are remembered.
MAX_REQUESTS = 10_000


class Service(StrEnum):
    LLM = "llm"
    STT = "stt"
    TTS = "tts"


@dataclass(frozen=True)
class Request:
    """`content` is the JSON body; of audio its `seconds`, and the `text` once it is recognized.

    `at` is by the clock of `time.monotonic`.
    """

    service: Service
    at: float
    content: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    content_type: str
    body: bytes
    fault: Fault | None = None


#: The faults that are an error response: its HTTP status, and OpenAI's `code`.
ERRORS = {
    Fault.UNAUTHORIZED: (401, "invalid_api_key"),
    Fault.QUOTA: (429, "insufficient_quota"),
    Fault.ERROR: (500, "server_error"),
}
SERVICES = {
    "/v1/chat/completions": Service.LLM,
    "/v1/audio/transcriptions": Service.STT,
    "/v1/audio/speech": Service.TTS,
}


class ModelServer:
    """`script` answers, `recognize` hears. All three may be changed at any time.

    `faults` has the services that fail, `delays` how long each takes, in s: until the transcript,
    the first word, the first audio.
    """

    def __init__(self, script: Script, recognize: Recognize) -> None:
        self.script = script
        self.recognize = recognize
        self.faults: dict[Service, Fault] = {}
        self.delays: dict[Service, float] = {}
        self.requests: deque[Request] = deque(maxlen=MAX_REQUESTS)
        self.port = 0
        self._recognizing = asyncio.Lock()
        self._stopping = asyncio.Event()

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator["ModelServer"]:
        """Serves on `port`, or a free one. Before and after it connections are refused."""
        app = web.Application(client_max_size=MAX_BODY)
        for path in SERVICES:
            app.router.add_post(path, self._serve)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, LOOPBACK, port, reuse_address=True).start()
            self.port = runner.addresses[0][1]
            yield self
        finally:
            self._stopping.set()
            await runner.cleanup()

    @property
    def url(self) -> str:
        """For OPENAI_BASE_URL, or a plugin's `base_url`."""
        return f"http://{LOOPBACK}:{self.port}/v1"

    def received(self, service: Service) -> list[dict[str, Any]]:
        """The contents of the requests to `service`, in their order."""
        return [request.content for request in self.requests if request.service == service]

    async def _serve(self, http: web.Request) -> web.StreamResponse:
        service = SERVICES[http.path]
        answer_to = {Service.LLM: self._chat, Service.STT: self._transcribe, Service.TTS: self._say}
        began = time.monotonic()
        answer = await answer_to[service](http)
        # Recognizing counts for the delay: a test's numbers do not depend on its speed.
        await asyncio.sleep(began + self.delays.get(service, 0.0) - time.monotonic())
        return await self._respond(http, answer, self.faults.get(service) or answer.fault)

    async def _respond(
        self, http: web.Request, answer: Answer, fault: Fault | None
    ) -> web.StreamResponse:
        headers = {"Content-Type": answer.content_type, "x-request-id": f"req_{len(self.requests)}"}
        if fault in ERRORS:
            status, code = ERRORS[fault]
            error = {"message": f"scripted: {code}", "type": code, "param": None, "code": code}
            return web.json_response({"error": error}, status=status)
        if fault is Fault.GARBAGE:
            return web.Response(text="<html>It works!</html>", content_type="text/html")
        if fault is Fault.HANG:
            await self._stopping.wait()
        response = web.StreamResponse(headers=headers)
        if fault is Fault.CUT:
            await response.prepare(http)
            await response.write(answer.body[: len(answer.body) // 2])
        if fault in {Fault.CUT, Fault.HANG, Fault.RESET} and http.transport:
            http.transport.abort()
            return response
        return web.Response(body=answer.body, headers=headers)

    async def _chat(self, http: web.Request) -> Answer:
        content = self._record(Service.LLM, await http.json())
        answer = self.script.answer(content)
        if self.faults.get(Service.LLM) is Fault.EMPTY or answer.fail is Fault.EMPTY:
            answer = Rule("")
        if not content.get("stream"):
            body = completion(answer, content)
            return Answer("application/json", body.encode(), answer.fail)
        events = "".join(chunks(answer, content))
        return Answer("text/event-stream", events.encode(), answer.fail)

    async def _transcribe(self, http: web.Request) -> Answer:
        recording = await _uploaded(http, "file")
        if recording is None:
            raise web.HTTPBadRequest(text="the field `file` must be a file")
        content = self._record(Service.STT, {"seconds": _seconds(recording)})
        async with self._recognizing:
            content["text"] = await asyncio.to_thread(self.recognize, recording)
        if self.faults.get(Service.STT) is Fault.EMPTY:
            content["text"] = ""
        return Answer("application/json", json.dumps({"text": content["text"]}).encode())

    async def _say(self, http: web.Request) -> Answer:
        content = self._record(Service.TTS, await http.json())
        is_silent = self.faults.get(Service.TTS) is Fault.EMPTY
        return Answer("audio/pcm", b"" if is_silent else speech(content["input"], SPEECH_RATE))

    def _record(self, service: Service, content: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(Request(service, time.monotonic(), content))
        return content


async def _uploaded(http: web.Request, name: str) -> bytes | None:
    """The file in the field `name`, None if there is none.

    `http.post()` would leave a temporary file open where the client goes away meanwhile.
    """
    content = None
    if http.content_type == "multipart/form-data":
        async for part in await http.multipart():
            if isinstance(part, BodyPartReader) and part.name == name and part.filename:
                content = bytes(await part.read())
    return content


def _seconds(recording: bytes) -> float:
    with wave.open(io.BytesIO(recording)) as file:
        return float(file.getnframes() / file.getframerate())
