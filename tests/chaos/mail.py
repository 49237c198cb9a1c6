"""What is posted to gateways, and what befalls it on the way: lost, doubled, late, out of order."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import aiohttp

from tests.chaos.dice import Dice

#: The share of letters that something befalls.
TROUBLE = 0.3
#: How late a late one is, in s, and how long one waits for the next that is to overtake it.
DELAY = (0.2, 3.0)
OVERTAKEN_WITHIN = 1.0
#: jambonz-feature-server waits so between its tries, in s.
PAUSES = (0.5, 1.0, 2.0)
#: LiveKit's webhooks are tried so often (livekit/protocol, webhook notifier).
WEBHOOK_TRIES = 3
#: How long a report is repeated, in s: the spool does for an hour.
REPORT_FOR = 60.0
ANSWER_WITHIN = aiohttp.ClientTimeout(total=10)


class Fate(StrEnum):
    ARRIVES = "arrives"
    DROPPED = "dropped"
    DOUBLED = "doubled"
    DELAYED = "delayed"
    SWAPPED = "swapped"


_TROUBLES = (Fate.DROPPED, Fate.DOUBLED, Fate.DELAYED, Fate.SWAPPED)


@dataclass(frozen=True, slots=True)
class Letter:
    """A body for `path` of some gateway; `prove` makes its headers when it is sent.

    `name` is what the dice know it by, beside its call.
    """

    name: str
    path: str
    body: bytes
    prove: Callable[[bytes], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    text: str

    @property
    def is_taken(self) -> bool:
        """As Jambonz sees it: 201 and redirects are errors to it."""
        return self.status in {200, 202, 204}

    def json(self) -> Any:
        return json.loads(self.text)

    def __str__(self) -> str:
        return f"{self.status} {self.text[:80]}"


@dataclass(frozen=True, slots=True)
class Replies:
    """`used` is what the sender goes by, None if nothing came; `all` has what was not heard too.

    `is_lost`: no gateway is to blame that nothing came.
    """

    used: Answer | None
    all: list[Answer] = field(default_factory=list)
    needs_recovery: bool = False


class Gateways(Protocol):
    def pick(self, roll: random.Random) -> str:
        """The URL of one of those that are up, as a balancer knows it."""


class Network:
    """Carries requests to gateways. `tally` counts what became of letters."""

    def __init__(self, gateways: Gateways, session: aiohttp.ClientSession) -> None:
        self.gateways = gateways
        self.session = session
        self.tally: Counter[str] = Counter()

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, within: float | None = None
    ) -> Answer | None:
        """None where no answer came, for whatever reason."""
        timeout = aiohttp.ClientTimeout(total=within) if within else ANSWER_WITHIN
        try:
            async with self.session.post(
                url, data=body, headers=headers, timeout=timeout
            ) as answer:
                return Answer(answer.status, await answer.text())
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.tally["no answer"] += 1
            return None


class Mail:
    """That of one call."""

    def __init__(self, dice: Dice, network: Network) -> None:
        self._dice = dice
        self._network = network
        self._sent = 0
        self._lines = {"jambonz": asyncio.Lock(), "livekit": asyncio.Lock()}
        self._moved = asyncio.Event()
        self._names: Counter[str] = Counter()

    async def tell(self, letter: Letter) -> None:
        """Post what is not repeated whatever comes of it: Jambonz's status hooks."""
        await self._tell(letter, "jambonz", tries=1)

    async def notify(self, letter: Letter) -> None:
        """Post a webhook as LiveKit does."""
        await self._tell(letter, "livekit", tries=WEBHOOK_TRIES)

    async def ask(self, letter: Letter, *, tries: int, may_fail: bool) -> Replies:
        """Post what Jambonz needs an answer to; `tries` as the hook's URL asks for.

        What is lost is lost once, but where it `may_fail` now and then each time.
        """
        roll, fate = self._fate(letter)
        answers: list[Answer] = []
        if fate is Fate.DROPPED:
            if may_fail and roll.random() < 0.25:
                return Replies(None, needs_recovery=True)
            if roll.random() < 0.5 and (unheard := await self._post(letter, roll)):
                answers.append(unheard)
            await asyncio.sleep(PAUSES[0])
        else:
            await self._held_up(fate, roll)
        copies = 2 if fate is Fate.DOUBLED else 1
        for pause in (*PAUSES[: tries - 1], 0.0):
            came = await asyncio.gather(*(self._post(letter, roll) for _ in range(copies)))
            answers += [answer for answer in came if answer]
            used = next((answer for answer in came if answer and answer.status < 500), None)
            if used:
                return Replies(used, answers)
            await asyncio.sleep(pause)
        return Replies(None, answers)

    async def insist(self, letter: Letter) -> None:
        """Post an agent's report until it is accepted, or refused for good."""
        roll, fate = self._fate(letter)
        if fate is Fate.DROPPED:
            if roll.random() < 0.5:
                await self._post(letter, roll)
            await asyncio.sleep(0.2)
        else:
            await self._held_up(fate, roll)
        copies = 2 if fate is Fate.DOUBLED else 1
        pause, waited = 0.2, 0.0
        while waited < REPORT_FOR:
            came = await asyncio.gather(*(self._post(letter, roll) for _ in range(copies)))
            if any(answer and answer.status < 500 for answer in came):
                return
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, 2.0)

    async def _tell(self, letter: Letter, sender: str, *, tries: int) -> None:
        roll, fate = self._fate(letter)
        if fate is Fate.DROPPED:
            return
        await self._held_up(fate, roll)
        async with self._lines[sender]:
            copies = 2 if fate is Fate.DOUBLED else 1
            await asyncio.gather(*(self._try(letter, roll, tries) for _ in range(copies)))

    async def _try(self, letter: Letter, roll: random.Random, tries: int) -> None:
        for number in range(tries):
            answer = await self._post(letter, roll)
            if answer and answer.status < 500:
                return
            await asyncio.sleep(0.1 * 2**number)

    async def _post(self, letter: Letter, roll: random.Random) -> Answer | None:
        url = self._network.gateways.pick(roll) + letter.path
        answer = await self._network.post(url, letter.body, letter.prove(letter.body))
        self._sent += 1
        self._moved.set()
        self._moved = asyncio.Event()
        return answer

    async def _held_up(self, fate: Fate, roll: random.Random) -> None:
        if fate is Fate.DELAYED:
            await asyncio.sleep(roll.uniform(*DELAY))
        if fate is Fate.SWAPPED:
            await self._overtaken()

    async def _overtaken(self) -> None:
        """Wait until another letter about the call has gone, if one does soon."""
        try:
            async with asyncio.timeout(OVERTAKEN_WITHIN):
                before = self._sent
                while self._sent == before:
                    await self._moved.wait()
        except TimeoutError:
            return

    def _fate(self, letter: Letter) -> tuple[random.Random, Fate]:
        self._names[letter.name] += 1
        roll = self._dice.of("letter", letter.name, self._names[letter.name])
        fate = roll.choice(_TROUBLES) if roll.random() < TROUBLE else Fate.ARRIVES
        self._network.tally[fate] += 1
        return roll, fate
