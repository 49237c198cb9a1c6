"""How long callers wait for answers of models that answer at once, beside a bare AgentSession."""

import asyncio
import math
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil

from bench.processes import SECRET, without_livekit
from bench.result import Result
from bench.script import ANSWER, GREETING, SCRIPT
from gateway.config.loader import build_config
from gateway.config.settings import Config
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.stack import WORKER, running
from gateway.tools.simulate.jambonz import Jambonz
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.telephone import Telephone, inbound_call

#: Calls to each of both agents, in turn, and what the caller asks in each.
CALLS = 8
QUESTIONS = ("hours", "name", "book")
AT_ONCE = 4
BARE_AGENT = (sys.executable, "-m", "livekit.agents", "start", "bench/bare_agent.py")
AGENTS_FILE = Path(__file__).with_name("agents.yaml")


@dataclass
class Waits:
    """In s. `answers`: from the end of the caller's speech to the agent's first audio."""

    first_words: list[float] = field(default_factory=list)
    answers: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    interruptions: list[float] = field(default_factory=list)


async def measure() -> list[Result]:
    async with ModelServer(SCRIPT, lambda _: "a question").serving() as models:
        return await asyncio.to_thread(_with_agents, models.url)


def _with_agents(models_url: str) -> list[Result]:
    with (
        _agent(models_url, WORKER) as (own, worker),
        _agent(models_url, BARE_AGENT) as (bare, _),
    ):
        return asyncio.run(_compare(own, bare, worker))


@contextmanager
def _agent(models_url: str, worker: Sequence[str]) -> Iterator[tuple[Config, psutil.Process]]:
    """A LiveKit, a gateway and `worker` of their own."""
    env = {
        **without_livekit(),
        "JAMBONZ_WEBHOOK_SECRET": SECRET,
        "GATEWAY_API_KEYS": "",
        "PORT": str(free_port()),
        "GATEWAY__AGENT__PIPELINE": "voice",
        "AGENTS_FILE": str(AGENTS_FILE),
        "OPENAI_API_KEY": "key-of-the-bench",
        "OPENAI_BASE_URL": models_url,
        "AGENT_IDLE_PROCESSES": str(AT_ONCE),
    }
    with running(build_config({}, env), env, worker=worker) as stack:
        yield build_config({}, stack.env), psutil.Process(stack.processes["worker"].pid)


async def _compare(own: Config, bare: Config, worker: psutil.Process) -> list[Result]:
    alone, beside, at_once = Waits(), Waits(), Waits()
    for _ in range(CALLS):
        await _converse(own, alone)
        await _converse(bare, beside)
    for _ in range(CALLS // 2):
        await _interrupt(own, alone)
    usage = asyncio.create_task(_usage(worker))
    for _ in range(CALLS // AT_ONCE):
        await asyncio.gather(*(_converse(own, at_once) for _ in range(AT_ONCE)))
    usage.cancel()
    return [*_waits(alone, beside, at_once), *await usage]


async def _converse(config: Config, waits: Waits) -> None:
    async with _call(config) as telephone:
        greeting = await telephone.hears_out(GREETING)
        waits.first_words.append(telephone.caller.began + greeting.start - telephone.dialed)
        for question in QUESTIONS:
            asked = await telephone.says(question)
            answer = await telephone.hears_out(ANSWER, after=asked)
            waits.answers.append(answer.start - asked)
        waits.gaps.append(max(heard.gap for heard in telephone.heard()))


async def _interrupt(config: Config, waits: Waits) -> None:
    """During the greeting, and during an answer."""
    async with _call(config) as telephone:
        for sentence in (GREETING, ANSWER):
            await telephone.hears(sentence)
            began = telephone.caller.position
            await telephone.says("book")
            cut = await telephone.hears_out(sentence)
            waits.interruptions.append(cut.end - began)


@asynccontextmanager
async def _call(config: Config) -> AsyncIterator[Telephone]:
    async with aiohttp.ClientSession() as session:
        jambonz = Jambonz(session, config.own_url, SECRET, "+15550100", "+15550199")
        async with inbound_call(config, jambonz) as telephone:
            yield telephone


def _waits(alone: Waits, bare: Waits, at_once: Waits) -> Iterator[Result]:
    p50, bare_p50 = statistics.median(alone.answers), statistics.median(bare.answers)
    spread = f"{len(alone.answers)} answers; a bare AgentSession {bare_p50:.2f} s"
    yield Result("end of speech to first agent audio, p50", p50, 0.65, "s", spread)
    yield Result("end of speech to first agent audio, p90", _p90(alone.answers), 0.8, "s")
    yield Result("... beside a bare AgentSession, p50", p50 / bare_p50, 1.1, "x")
    several = f"{AT_ONCE} at once"
    yield Result(
        "end of speech to first agent audio, p90", _p90(at_once.answers), 1.2, "s", several
    )
    longest = 1000 * max(at_once.gaps)
    yield Result("longest gap in what the agent says", longest, 60, "ms", several)
    first = statistics.median(alone.first_words)
    yield Result("hook to first word, p50", first, 0.8, "s", f"{CALLS} calls")
    stopped = max(alone.interruptions)
    yield Result("interruption to silence, the longest", stopped, 1.0, "s", "greeting and answers")


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


async def _usage(worker: psutil.Process) -> list[Result]:
    """What AT_ONCE calls take more than none, until it is cancelled."""
    loop = asyncio.get_running_loop()
    idle = highest = _memory(worker)
    cpu, began = _cpu_seconds(worker), loop.time()
    try:
        while True:
            await asyncio.sleep(1)
            highest = max(highest, await asyncio.to_thread(_memory, worker))
    except asyncio.CancelledError:
        memory = (highest - idle) / AT_ONCE / 1e6
        share = (_cpu_seconds(worker) - cpu) / (loop.time() - began) / AT_ONCE
        calls = f"{1 / share:.1f} calls a core"
        return [
            Result("memory of a call (PSS)", memory, math.inf, "MB", f"idle {idle / 1e6:.0f} MB"),
            Result("CPU of a call", 100 * share, math.inf, "%", calls),
        ]


def _memory(worker: psutil.Process) -> float:
    return sum(_of(process, lambda it: it.memory_full_info().pss) for process in _tree(worker))


def _cpu_seconds(worker: psutil.Process) -> float:
    """Of processes that have ended their parents count it."""
    return sum(_of(process, lambda it: sum(it.cpu_times()[:4])) for process in _tree(worker))


def _tree(worker: psutil.Process) -> list[psutil.Process]:
    return [worker, *worker.children(recursive=True)]


def _of(process: psutil.Process, measure: Callable[[psutil.Process], float]) -> float:
    try:
        return measure(process)
    except psutil.NoSuchProcess:
        return 0
