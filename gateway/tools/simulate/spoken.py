"""`simulate voice`: a spoken conversation on this machine, with models that follow a script."""

import argparse
import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, chdir
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import yaml

from gateway.config.loader import build_config
from gateway.config.settings import Config
from gateway.security.api_keys import OwnKeys
from gateway.tools.dev.livekit_server import free_port
from gateway.tools.dev.stack import running
from gateway.tools.gateway_api import GatewayApi, outcome
from gateway.tools.simulate import clips
from gateway.tools.simulate.caller import check_writable, write_wav
from gateway.tools.simulate.jambonz import Jambonz
from gateway.tools.simulate.model_script import Rule, Script
from gateway.tools.simulate.model_server import ModelServer
from gateway.tools.simulate.recognizer import Recognize, sphinx
from gateway.tools.simulate.telephone import NotHeard, Telephone, inbound_call
from gateway.tools.terminal import Progress

GREETING = "Good day, this is the Example Clinic."
GOODBYE = "Goodbye, and see you tomorrow."


@dataclass(frozen=True)
class Turn:
    """What the caller says, by a clip's name; the words that tell it; the agent's answer.

    An answer is one sentence of 20 characters or more: a voice gets shorter ones together.
    """

    clip: str
    pattern: str
    answer: str


TURNS = (
    Turn("book", "appointment", "On which day would you like to come to us?"),
    Turn("tomorrow", "tomorrow", "Nine is free tomorrow, shall I book it for you?"),
    Turn("yes", "yes", "May I have your full name for that, please?"),
    Turn("name", "name is", "Thank you, you are booked for tomorrow at nine."),
    Turn("goodbye", "goodbye", GOODBYE),
)
SCRIPT = Script(
    [
        Rule("goodbye", call="end_call"),
        Rule("", GOODBYE, role="tool"),
        *(Rule(turn.pattern, turn.answer) for turn in TURNS),
    ]
)
#: agents.yaml of the conversation. The turn detector is not made for so few words, and on a busy
#: machine the recognizer takes its time.
AGENTS = {
    "profiles": {
        "default": {
            "greeting": GREETING,
            "turn_handling": {"detection": "vad"},
            "failure": {"after": 10},
        }
    }
}
#: How long the caller waits for an answer, in s, and how often they say a sentence at most.
PATIENCE = 12.0
TRIES = 3
#: Variables that lead to other servers, and to models that cost money.
OTHERS = ("AGENT", "CALLBACK_", "GATEWAY_", "JAMBONZ_", "LIVEKIT_", "OPENAI_", "REDIS_", "SIP_")
#: How long one request to the gateway may take, in s.
REQUEST_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(frozen=True)
class Said:
    """A sentence that was heard; times in s, `later` after the caller's."""

    at: float
    who: str
    words: str
    later: float | None = None

    def as_text(self) -> str:
        later = "" if self.later is None else f"  ({self.later:.2f} s later)"
        return f"{self.at:7.2f} s  {self.who:<8}{self.words}{later}"

    def as_json(self) -> dict[str, object]:
        later = {} if self.later is None else {"later_s": round(self.later, 2)}
        return {"at_s": round(self.at, 2), "who": self.who, "text": self.words, **later}


@dataclass(frozen=True)
class Ended:
    outcome: str

    def as_text(self) -> str:
        return f"\nended: {self.outcome}"

    def as_json(self) -> dict[str, object]:
        return {"ended": self.outcome}


Show = Callable[[Said | Ended], object]


def _print_text(line: Said | Ended) -> None:
    print(line.as_text(), flush=True)


def _print_json(line: Said | Ended) -> None:
    print(json.dumps(line.as_json()), flush=True)


class KnownWords:
    """A recognizer that is told what the caller is about to `say`, and hears it once."""

    def __init__(self) -> None:
        self.say = ""

    def __call__(self, _: bytes) -> str:
        words, self.say = self.say, ""
        return words


def run(arguments: argparse.Namespace) -> int:
    """The command; returns 0. Raises GatewayError, which says what was not heard."""
    record = Path(arguments.record).resolve() if arguments.record else None
    if record:
        check_writable(record)
    recognize, how = _recognizer()
    if not arguments.json:
        print(f"The models follow a script, so no key is needed. {how}")
        print("Each sentence of the agent sounds as a chord of two tones.\n", flush=True)
    logging.getLogger("livekit").setLevel(logging.CRITICAL)  # that the agent hangs up is no error
    # Elsewhere, the processes would read the settings that are in this folder.
    with TemporaryDirectory() as folder, chdir(folder):
        Path("agents.yaml").write_text(yaml.safe_dump(AGENTS))
        asyncio.run(hold(recognize, record, _print_json if arguments.json else _print_text))
    return 0


def _recognizer() -> tuple[Recognize, str]:
    """What hears the caller, and a sentence that says what it is."""
    try:
        recognize = sphinx(clips.WORDS[turn.clip] for turn in TURNS)
    except ImportError:
        return KnownWords(), "So does the recognizer: pocketsphinx is not installed."
    recognize(clips.clip(TURNS[0].clip).read_bytes())  # the first time takes longer
    return recognize, "pocketsphinx recognizes what the caller says."


async def hold(recognize: Recognize, record: Path | None, show: Show) -> None:
    """The whole conversation. Raises GatewayError, TimeoutError."""
    async with (
        ModelServer(SCRIPT, recognize).serving() as models,
        _stack(models.url) as config,
        aiohttp.ClientSession(timeout=REQUEST_TIMEOUT) as session,
    ):
        secret = next(iter(config.security.webhook_secrets))
        jambonz = Jambonz(session, config.own_url, secret, "+15550100", "+15550199")
        async with inbound_call(config, jambonz) as telephone:
            await _converse(telephone, recognize, show)
            if record:
                write_wav(record, telephone.caller.recording)
        api = GatewayApi(session, config.own_url, OwnKeys({}, is_required=False))
        call = await api.ended_call(telephone.call_id)
    show(Ended(outcome(call)))


async def _converse(telephone: Telephone, recognize: Recognize, show: Show) -> None:
    heard = await telephone.hears_out(GREETING)
    show(Said(heard.start, "agent", GREETING))
    for turn in TURNS:
        await _take_turn(turn, telephone, recognize, show)
    await telephone.is_hung_up()


async def _take_turn(turn: Turn, telephone: Telephone, recognize: Recognize, show: Show) -> None:
    """Raises NotHeard, once the caller has said it as often as they do."""
    for tries_left in reversed(range(TRIES)):
        if isinstance(recognize, KnownWords):
            recognize.say = clips.WORDS[turn.clip]
        said = await telephone.says(turn.clip)
        show(Said(said, "caller", clips.WORDS[turn.clip]))
        try:
            heard = await telephone.hears_out(turn.answer, after=said, within=PATIENCE)
        except NotHeard:
            if not tries_left:
                raise
        else:
            show(Said(heard.start, "agent", turn.answer, later=heard.start - said))
            return


@asynccontextmanager
async def _stack(models_url: str) -> AsyncIterator[Config]:
    """LiveKit, gateway and worker of its own; yields the settings that lead there."""
    own = {name: text for name, text in os.environ.items() if not name.startswith(OTHERS)}
    own |= {
        "GATEWAY__AGENT__PIPELINE": "voice",
        "AGENT_SPOOL": "reports",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": models_url,
        "PORT": str(free_port()),
    }
    stack = running(build_config({}, own), own)
    with Progress("starting LiveKit, a gateway and a worker"):
        started = await asyncio.to_thread(stack.__enter__)
    try:
        yield build_config({}, started.env)
    finally:
        await asyncio.to_thread(stack.__exit__, None, None, None)
