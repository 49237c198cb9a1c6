"""Whole telephone conversations without keys: all servers are real but for the models' server.

One LiveKit, gateway and worker serve all tests; each test has its own model server (at the same
address), and calls the number of the profile in agents.yaml that it is about.
"""

import functools
import importlib.util
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.config.settings import LOOPBACK
from gateway.tools.simulate.clips import WORDS
from gateway.tools.simulate.jambonz import Jambonz
from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.recognizer import Recognize, sphinx_process
from gateway.tools.simulate.telephone import LIMIT, Telephone, inbound_call
from tests.conftest import DISPATCH_KEY, READ_KEY, WEBHOOK_SECRET, skip_unless_ci
from tests.livekit.conftest import RealServers, http, livekit_binary, real_servers, wait_for_call
from tests.ports import free_port

__all__ = ["http", "livekit_binary"]

AGENTS_FILE = Path(__file__).with_name("agents.yaml")
#: The numbers of its routes.
CLINIC, QUIET, DETECTOR, RECORDED = "+15550199", "+15550101", "+15550102", "+15550103"
ASKS_TOOLS, OFFICE, PROMISES, HANDS_ON = "+15550104", "+15550109", "+15550108", "+15550105"

GREETING = "Hello, this is the clinic, how can I help you today?"
ASKS_DAY = "On which day would you like to come?"
BOOKED = "You are booked for tomorrow at nine."
HOURS = (
    "We are open from Monday to Friday from eight in the morning to six in the evening, and on "
    "Saturdays from nine to noon."
)
GOODBYE = "Thank you for calling the clinic, goodbye."
RECEPTIONIST = Script(
    [
        Rule("appointment", say=ASKS_DAY),
        Rule("tomorrow", call="book_appointment", arguments={"day": "tomorrow"}),
        Rule("booked for tomorrow", role="tool", say=BOOKED),
        Rule("opening hours", say=HOURS),
        Rule("goodbye", call="end_call"),
        Rule("", role="tool", say=GOODBYE),
    ]
)

#: What is said in a call that books: who, what.
BOOKING = [
    ("agent", GREETING),
    ("user", "i would like to book an appointment"),
    ("agent", ASKS_DAY),
    ("user", "tomorrow at nine please"),
    ("agent", BOOKED),
    ("user", "thank you goodbye"),
    ("agent", GOODBYE),
]

#: By how much, in s, the whole of a sentence may be heard shorter or longer than it is: packets at
#: its ends, a busy machine.
TOLERANCE = 0.5

#: Calls a number; the context is the call.
Dial = Callable[..., AbstractAsyncContextManager[Telephone]]
#: The call as the API shows it, once it has ended and the agent's report is there.
EndedCall = Callable[[Telephone], Any]


@pytest.fixture(scope="session")
def recognize(server_process: None) -> Iterator[Recognize]:
    if importlib.util.find_spec("pocketsphinx") is None:
        skip_unless_ci("what callers say is recognized by pocketsphinx, which is not installed")
    with sphinx_process(WORDS.values()) as recognize:
        yield recognize


@pytest.fixture(scope="session")
def model_port() -> int:
    return free_port()


@pytest.fixture(scope="session")
def tool_port() -> int:
    """Where the tools of agents.yaml are."""
    return free_port()


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the agents put recordings."""
    return tmp_path_factory.mktemp("recordings")


@pytest.fixture(scope="session")
def agents_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that a test may edit, and restores."""
    path = tmp_path_factory.mktemp("agents") / "agents.yaml"
    path.write_text(AGENTS_FILE.read_text())
    return path


def voice_env(
    model_port: int, agents_file: Path, recordings: Path, tool_port: int = 9
) -> dict[str, str]:
    """What makes a worker's agents those of `agents_file`, with the models at `model_port`."""
    return {
        "GATEWAY__AGENT__PIPELINE": "voice",
        "AGENTS_FILE": str(agents_file),
        "RECORDINGS": str(recordings),
        "TOOL_URL": f"http://{LOOPBACK}:{tool_port}/free-slots",
        "OPENAI_API_KEY": "key-of-the-tests",
        "OPENAI_BASE_URL": f"http://{LOOPBACK}:{model_port}/v1",
    }


@pytest.fixture(scope="session")
def settings(
    model_port: int, tool_port: int, recordings: Path, agents_file: Path
) -> dict[str, str]:
    """The environment of gateway and worker."""
    return {
        **voice_env(model_port, agents_file, recordings, tool_port),
        "GATEWAY__OUTBOUND__DIALED_BY": "agent",
        "GATEWAY__OUTBOUND__EARLY_FAILURE_WINDOW": "0",
        # As many as call at once; on a loaded machine another one takes seconds to start.
        "AGENT_IDLE_PROCESSES": "4",
        "GATEWAY__INBOUND__AGENT_TIMEOUT": "20",
        "GATEWAY__OUTBOUND__AGENT_TIMEOUT": "20",
        "GATEWAY_API_KEYS": f"ops:read:{READ_KEY},n8n:dispatch:{DISPATCH_KEY}",
    }


@pytest.fixture(scope="session")
def real(livekit_binary: Path, settings: dict[str, str]) -> Iterator[RealServers]:
    with real_servers(**settings) as servers:
        yield servers


@pytest.fixture
async def models(
    recognize: Recognize, model_port: int, real: RealServers
) -> AsyncIterator[ModelServer]:
    """The models of all calls of a test."""
    async with ModelServer(RECEPTIONIST, recognize).serving(model_port) as server:
        yield server


@pytest.fixture
def dial(real: RealServers, http: aiohttp.ClientSession, models: ModelServer) -> Dial:
    def call(to: str = CLINIC, from_: str = "+15550100") -> AbstractAsyncContextManager[Telephone]:
        jambonz = Jambonz(http, real.url, WEBHOOK_SECRET, from_, to)
        return inbound_call(real.config, jambonz)

    return call


@pytest.fixture
def ended_call(real: RealServers, http: aiohttp.ClientSession) -> EndedCall:
    async def wait(telephone: Telephone) -> Any:
        url = f"{real.url}/livekit-api/calls/{telephone.call_id}"
        wait = functools.partial(wait_for_call, http, url, limit=LIMIT, key=READ_KEY)
        call = await wait(lambda call: call["end_timestamp"] and call["report"])
        assert call["end_timestamp"], call
        assert call["report"], call
        return call

    return wait


def words(call: Any) -> list[tuple[str, str]]:
    """The transcript of an ended call: who said what."""
    said = (line for line in call["report"]["transcript"] if line["role"] != "tool")
    return [(line["role"], line["text"]) for line in said]
