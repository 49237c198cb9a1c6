"""Traces of conversations: one for each call, through gateway and agent, and it names nobody."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from gateway.tools.simulate.jambonz import Jambonz
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.outbound import DispatchRequest
from gateway.tools.simulate.recognizer import Recognize
from gateway.tools.simulate.telephone import inbound_call, outbound_call
from tests.conftest import WEBHOOK_SECRET
from tests.fakes.collector import Collector, SeenSpan
from tests.livekit.conftest import RealServers, real_servers
from tests.voice.conftest import BOOKED, CLINIC, GREETING, RECEPTIONIST
from tests.voice.test_outbound import HEADERS

#: What callers, callees and models said, whom they are, what tools were called with.
PERSONAL = re.compile(rb"5550100|5550123|5550199|an appointment|[Tt]omorrow|clinic, how|Simulated")
#: The agent's part: of a call, and of one with a conversation.
OF_A_CALL = {"agent.call", "agent_session", "agent_speaking"}
OF_A_CONVERSATION = {"user_turn", "llm_node", "tts_node", "function_tool"}


@asynccontextmanager
async def servers(settings: dict[str, str]) -> AsyncIterator[RealServers]:
    """In a thread, for they ask the collector of this one."""
    running = real_servers(**settings)
    try:
        yield await asyncio.to_thread(running.__enter__)
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


async def test_a_conversation_is_in_the_trace_of_its_call(
    livekit_binary: object, settings: dict[str, str], recognize: Recognize, model_port: int
) -> None:
    async with (
        Collector().serving() as collector,
        ModelServer(RECEPTIONIST, recognize).serving(model_port),
        servers({**settings, **collector.env, "AGENT_IDLE_PROCESSES": "2"}) as real,
        aiohttp.ClientSession() as http,
    ):
        await asyncio.gather(receive(real, http), dispatch(real, http))
        await collector.until(lambda: len(collector.named("job_entrypoint")) == 2, limit=60)
        await collector.until(lambda: len(collector.named("call")) == 2)
        log = "\n".join(real.worker.lines)
    expected = {
        "POST /livekit-api": OF_A_CALL | OF_A_CONVERSATION,
        "POST /dispatch": OF_A_CALL,
    }
    for beginning, of_the_agent in expected.items():
        (first,) = collector.named(beginning)
        spans = collector.trace(first.trace_id)
        (root,) = [it for it in spans if it.parent_id not in {other.span_id for other in spans}]
        assert root is first
        check_agent(first, spans, of_the_agent)
        check_job(first, collector)
        assert f'"trace_id": "{first.trace_id}"' in log
    assert not PERSONAL.findall(b"".join(collector.raw))


async def receive(real: RealServers, http: aiohttp.ClientSession) -> None:
    jambonz = Jambonz(http, real.url, WEBHOOK_SECRET, "+15550100", CLINIC)
    async with inbound_call(real.config, jambonz) as telephone:
        await telephone.hears_out(GREETING)
        await telephone.says("tomorrow")
        await telephone.hears(BOOKED)


async def dispatch(real: RealServers, http: aiohttp.ClientSession) -> None:
    request = DispatchRequest()
    async with http.post(f"{real.url}/dispatch", json=request.body(), headers=HEADERS) as response:
        assert response.status == 200, await response.text()
        call_id = (await response.json())["call_id"]
    async with outbound_call(real.config, call_id, request.destination) as telephone:
        await telephone.caller.answer()
        await telephone.hears(GREETING)


def check_agent(first: SeenSpan, spans: list[SeenSpan], expected: set[str]) -> None:
    by_name = {span.name: span for span in spans if span.service == "jambonz-livekit-agent"}
    assert by_name.keys() >= expected
    assert by_name["agent.call"].parent_id == first.span_id
    assert by_name["agent_session"].parent_id == by_name["agent.call"].span_id
    reports = [span for span in spans if span.name.endswith("/report")]
    of_the_job = {by_name["agent.call"].span_id, by_name["agent_session"].span_id}
    assert len([span for span in reports if span.parent_id in of_the_job]) >= 3


def check_job(first: SeenSpan, collector: Collector) -> None:
    """The framework has a trace of its own for each job: that is linked."""
    (job,) = [it for it in collector.named("job_entrypoint") if first.trace_id in it.links]
    (call,) = [it for it in collector.named("agent.call") if it.trace_id == first.trace_id]
    assert job.attributes["lk.job_id"] == call.attributes["lk.job_id"]
