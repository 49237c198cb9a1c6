"""The scripted model server, asked by OpenAI's own client: words, hearing, speech and faults."""

import asyncio
import platform
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import httpx2
import numpy as np
import openai
import pytest

from gateway.tools.simulate.clips import WORDS, clip
from gateway.tools.simulate.model_script import Fault, Rule, Script
from gateway.tools.simulate.model_server import SPEECH_RATE, ModelServer, Service
from gateway.tools.simulate.recognizer import Recognize, in_order, sphinx
from gateway.tools.simulate.tones import chord_of, listen, speech
from tests.ports import free_port

# OpenAI's client sends it; Python starts a process to find it out, and then remembers it.
platform.processor()

ASKS = "On which day would you like to come?"
BOOKED = "You are booked for tomorrow."
BOOK = {
    "type": "function",
    "function": {"name": "book", "parameters": {"type": "object", "properties": {}}},
}
SCRIPT = Script(
    [
        Rule("appointment", say=ASKS),
        Rule("tomorrow", call="book", arguments={"day": "tomorrow"}),
        Rule("tomorrow", say="I cannot book."),
        Rule("booked", role="tool", say=BOOKED),
        Rule("broken", fail=Fault.ERROR),
    ]
)


@pytest.fixture(scope="module")
def recognize() -> Recognize:
    return sphinx(WORDS.values())


@pytest.fixture
async def server(recognize: Recognize) -> AsyncIterator[ModelServer]:
    async with ModelServer(SCRIPT, recognize).serving() as server:
        yield server


@pytest.fixture
async def client(server: ModelServer) -> AsyncIterator[openai.AsyncClient]:
    async with client_of(server.url) as client:
        yield client


def client_of(url: str) -> openai.AsyncClient:
    return openai.AsyncClient(base_url=url, api_key="key", max_retries=0, timeout=5)


async def ask(client: openai.AsyncClient, role: str, text: str, **more: object) -> tuple[str, str]:
    """What the model says, and which tool it calls with what."""
    said, called = "", ""
    create: Any = client.chat.completions.create  # its overloads know no messages as they come
    stream = await create(
        model="scripted",
        messages=[{"role": role, "content": text, "tool_call_id": "call_book"}],
        stream=True,
        stream_options={"include_usage": True},
        **more,
    )
    async for chunk in stream:
        for choice in chunk.choices:
            said += choice.delta.content or ""
            for call in choice.delta.tool_calls or []:
                called += f"{call.function.name} {call.function.arguments}"
    assert chunk.usage, "the last chunk has the usage"
    return said, called


async def transcribe(client: openai.AsyncClient, name: str) -> str:
    transcript = await client.audio.transcriptions.create(
        file=("file.wav", clip(name).read_bytes(), "audio/wav"), model="scripted"
    )
    return transcript.text


async def say(client: openai.AsyncClient, text: str) -> bytes:
    response = await client.audio.speech.create(input=text, model="scripted", voice="ash")
    return response.content


async def test_the_first_rule_that_matches_is_answered(client: openai.AsyncClient) -> None:
    assert await ask(client, "user", "An Appointment, please") == (ASKS, "")
    assert await ask(client, "user", "what?") == (SCRIPT.otherwise, "")


async def test_a_tool_is_called_only_if_it_is_offered(client: openai.AsyncClient) -> None:
    called = ("", 'book {"day": "tomorrow"}')
    assert await ask(client, "user", "tomorrow", tools=[BOOK]) == called
    assert await ask(client, "user", "tomorrow", tools=[BOOK], tool_choice="required") == called
    assert await ask(client, "user", "tomorrow") == ("I cannot book.", "")
    assert await ask(client, "tool", "booked", tools=[BOOK]) == (BOOKED, "")


async def test_an_answer_that_is_not_streamed(client: openai.AsyncClient) -> None:
    async def answer(text: str) -> Any:
        create: Any = client.chat.completions.create
        messages = [{"role": "user", "content": text}]
        completion = await create(model="scripted", messages=messages, tools=[BOOK])
        (choice,) = completion.choices
        return choice

    said = await answer("An appointment, please")
    assert (said.message.content, said.finish_reason) == (ASKS, "stop")
    called = await answer("tomorrow")
    (call,) = called.message.tool_calls
    assert (call.function.name, call.function.arguments) == ("book", '{"day": "tomorrow"}')
    assert called.finish_reason == "tool_calls"


@pytest.mark.parametrize("name", WORDS)
async def test_every_clip_is_understood(client: openai.AsyncClient, name: str) -> None:
    words = WORDS[name].lower().translate(str.maketrans("", "", ".,?"))
    assert await transcribe(client, name) == words
    assert clip(name).stat().st_size < 40_000


async def test_every_sentence_is_heard_as_its_own(client: openai.AsyncClient) -> None:
    spoken = b"".join([await say(client, text) for text in (ASKS, BOOKED)])
    first, second = listen(np.frombuffer(spoken, dtype="<i2"), SPEECH_RATE)
    assert (first.chord, second.chord) == (chord_of(ASKS), chord_of(BOOKED))
    assert first.end - first.start == pytest.approx(8 * 0.2, abs=0.05)
    assert (first.gap, second.gap) == (0, 0)


def test_a_gap_within_a_sentence_is_seen() -> None:
    samples = np.frombuffer(speech(ASKS, SPEECH_RATE), dtype="<i2").copy()
    samples[12_000:14_400] = 0
    (heard,) = listen(samples, SPEECH_RATE)
    assert heard.gap == pytest.approx(0.1, abs=0.01)


def test_words_that_nobody_can_recognize_are_named() -> None:
    with pytest.raises(ValueError, match="lacks qwzx"):
        sphinx(["I say qwzx"])


async def test_a_scripted_recognizer_hears_one_sentence_after_the_other() -> None:
    async with ModelServer(SCRIPT, in_order(["one", "two"])).serving() as server:
        async with client_of(server.url) as client:
            assert [await transcribe(client, "cough") for _ in range(3)] == ["one", "two", ""]
        assert [content["text"] for content in server.received(Service.STT)] == ["one", "two", ""]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.RESET, openai.APIConnectionError),
        (Fault.UNAUTHORIZED, openai.AuthenticationError),
        (Fault.QUOTA, openai.RateLimitError),
        (Fault.ERROR, openai.InternalServerError),
        (Fault.CUT, (openai.APIConnectionError, httpx2.RemoteProtocolError)),
    ],
)
async def test_each_service_fails_as_it_is_told_and_works_again(
    server: ModelServer, client: openai.AsyncClient, fault: Fault, error: Any
) -> None:
    requests: dict[Service, Callable[[], Awaitable[object]]] = {
        Service.LLM: lambda: ask(client, "user", "appointment"),
        Service.STT: lambda: transcribe(client, "yes"),
        Service.TTS: lambda: say(client, ASKS),
    }
    good = {service: await request() for service, request in requests.items()}
    for service, request in requests.items():
        server.faults[service] = fault
        with pytest.raises(error):
            await request()
        del server.faults[service]
        assert await request() == good[service]


async def test_garbage_is_a_web_page(server: ModelServer) -> None:
    server.faults = dict.fromkeys(Service, Fault.GARBAGE)
    async with aiohttp.ClientSession() as session:
        body = {"messages": [], "input": ASKS}
        for path in ("chat/completions", "audio/speech"):
            async with session.post(f"{server.url}/{path}", json=body) as response:
                assert (response.status, response.content_type) == (200, "text/html")


async def test_a_hanging_service_answers_nothing(
    server: ModelServer, client: openai.AsyncClient
) -> None:
    server.faults[Service.LLM] = Fault.HANG
    with pytest.raises(openai.APITimeoutError):
        await ask(client.with_options(timeout=0.3), "user", "appointment")


async def test_an_empty_answer_has_no_words_and_no_audio(
    server: ModelServer, client: openai.AsyncClient
) -> None:
    server.faults = dict.fromkeys(Service, Fault.EMPTY)
    assert await ask(client, "user", "appointment") == ("", "")
    assert await transcribe(client, "yes") == ""
    assert await say(client, ASKS) == b""


async def test_a_rule_may_fail_alone(client: openai.AsyncClient) -> None:
    with pytest.raises(openai.InternalServerError):
        await ask(client, "user", "broken")
    assert await ask(client, "user", "appointment") == (ASKS, "")


async def test_an_answer_takes_as_long_as_it_is_told(
    server: ModelServer, client: openai.AsyncClient
) -> None:
    server.delays[Service.TTS] = 0.4
    loop = asyncio.get_running_loop()
    began = loop.time()
    await say(client, ASKS)
    assert loop.time() - began >= 0.4


async def test_before_and_after_it_serves_connections_are_refused(recognize: Recognize) -> None:
    port = free_port()
    server = ModelServer(SCRIPT, recognize)
    async with client_of(f"http://127.0.0.1:{port}/v1") as client:
        with pytest.raises(openai.APIConnectionError):
            await say(client, ASKS)
        async with server.serving(port):
            assert await say(client, ASKS)
        with pytest.raises(openai.APIConnectionError):
            await say(client, ASKS)
