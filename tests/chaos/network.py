"""Sends requests to gateways: some are lost, duplicated, delayed or overtaken by others."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import aiohttp

from tests.chaos.seeded_random import SeededRandom

#: The share of requests with a fault.
FAULT_SHARE = 0.3
#: How long a delayed request is held back, in s.
DELAY = (0.2, 3.0)
#: How long a reordered request waits for another one to overtake it, in s.
OVERTAKING_TIMEOUT = 1.0
#: The pauses of jambonz-feature-server between its attempts, in s.
HOOK_PAUSES = (0.5, 1.0, 2.0, 4.0, 6.0)
#: How often LiveKit sends a webhook at most (livekit/protocol, webhook notifier).
WEBHOOK_ATTEMPTS = 3
#: How long a report is repeated, in s. The agent's spool repeats it for an hour.
REPORT_TIMEOUT = 60.0
RESPONSE_TIMEOUT = aiohttp.ClientTimeout(total=10)


class Fault(StrEnum):
    NONE = "delivered"
    DROPPED = "dropped"
    DUPLICATED = "duplicated"
    DELAYED = "delayed"
    REORDERED = "reordered"


_FAULTS = (Fault.DROPPED, Fault.DUPLICATED, Fault.DELAYED, Fault.REORDERED)


@dataclass(frozen=True, slots=True)
class Request:
    """A POST to `path` of any gateway; `sign` makes its headers when it is sent.

    Within its call `name` selects its random numbers.
    """

    name: str
    path: str
    body: bytes
    sign: Callable[[bytes], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    text: str

    @property
    def is_accepted(self) -> bool:
        """As Jambonz sees it: to it 201 and redirects are errors."""
        return self.status in {200, 202, 204}

    def json(self) -> Any:
        return json.loads(self.text)

    def __str__(self) -> str:
        return f"{self.status} {self.text[:80]}"


@dataclass(frozen=True, slots=True)
class HookResult:
    """`response` is the one that the sender uses, None if it received none.

    `all` has those that the sender did not receive too. `is_lost`: no gateway received the hook.
    """

    response: Response | None
    all: list[Response] = field(default_factory=list)
    is_lost: bool = False


class LoadBalancer(Protocol):
    def pick(self, rng: random.Random) -> str:
        """The URL of a gateway that is up, as far as a load balancer knows."""


class Network:
    """Sends requests to gateways. `counts` has how many had which fault."""

    def __init__(self, gateways: LoadBalancer, session: aiohttp.ClientSession) -> None:
        self.gateways = gateways
        self.session = session
        self.counts: Counter[str] = Counter()

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        limit: float | None = None,
    ) -> Response | None:
        """The response; None if none came, or none within `limit` s."""
        timeout = aiohttp.ClientTimeout(total=limit) if limit else RESPONSE_TIMEOUT
        try:
            async with self.session.post(
                url, data=body, headers=headers, timeout=timeout
            ) as response:
                return Response(response.status, await response.text())
        except (aiohttp.ClientError, TimeoutError, OSError):
            self.counts["no response"] += 1
            return None


class Sender:
    """Sends the requests of one call."""

    def __init__(self, seeded: SeededRandom, network: Network) -> None:
        self._random = seeded
        self._network = network
        self._sent = 0
        self._has_sent = asyncio.Event()
        self._locks = {"jambonz": asyncio.Lock(), "livekit": asyncio.Lock()}
        self._requests: Counter[str] = Counter()

    async def send_status_hook(self, request: Request) -> None:
        """As Jambonz does: once, whatever the response."""
        await self._send_in_order(request, "jambonz", attempts=1)

    async def send_webhook(self, request: Request) -> None:
        """As LiveKit does."""
        await self._send_in_order(request, "livekit", attempts=WEBHOOK_ATTEMPTS)

    async def send_hook(self, request: Request, *, attempts: int, may_fail: bool) -> HookResult:
        """As Jambonz sends a hook whose response it needs; its URL asks for `attempts`.

        A dropped hook is dropped at the first attempt, and now and then at all if it `may_fail`.
        """
        rng, fault = self._draw_fault(request)
        responses: list[Response] = []
        if fault is Fault.DROPPED:
            if may_fail and rng.random() < 0.25:
                return HookResult(None, is_lost=True)
            if rng.random() < 0.5 and (unheard := await self._post(request, rng)):
                responses.append(unheard)
            await asyncio.sleep(HOOK_PAUSES[0])
        else:
            await self._hold_back(fault, rng)
        copies = 2 if fault is Fault.DUPLICATED else 1
        for pause in (*HOOK_PAUSES[: attempts - 1], 0.0):
            received = await self._post_copies(request, rng, copies)
            responses += received
            used = next((response for response in received if response.status < 500), None)
            if used:
                return HookResult(used, responses)
            await asyncio.sleep(pause)
        return HookResult(None, responses)

    async def send_report(self, request: Request) -> None:
        """As the agent and its spool do: until it is accepted, or refused for good."""
        rng, fault = self._draw_fault(request)
        if fault is Fault.DROPPED:
            if rng.random() < 0.5:
                await self._post(request, rng)
            await asyncio.sleep(0.2)
        else:
            await self._hold_back(fault, rng)
        copies = 2 if fault is Fault.DUPLICATED else 1
        pause, waited = 0.2, 0.0
        while waited < REPORT_TIMEOUT:
            received = await self._post_copies(request, rng, copies)
            if any(response.status < 500 for response in received):
                return
            await asyncio.sleep(pause)
            waited, pause = waited + pause, min(2 * pause, 2.0)

    async def _send_in_order(self, request: Request, service: str, *, attempts: int) -> None:
        rng, fault = self._draw_fault(request)
        if fault is Fault.DROPPED:
            return
        await self._hold_back(fault, rng)
        async with self._locks[service]:
            copies = 2 if fault is Fault.DUPLICATED else 1
            await asyncio.gather(*(self._attempt(request, rng, attempts) for _ in range(copies)))

    async def _attempt(self, request: Request, rng: random.Random, attempts: int) -> None:
        for number in range(attempts):
            response = await self._post(request, rng)
            if response and response.status < 500:
                return
            await asyncio.sleep(0.1 * 2**number)

    async def _post_copies(
        self, request: Request, rng: random.Random, copies: int
    ) -> list[Response]:
        """Post it so often at once; the responses that came."""
        responses = await asyncio.gather(*(self._post(request, rng) for _ in range(copies)))
        return [response for response in responses if response]

    async def _post(self, request: Request, rng: random.Random) -> Response | None:
        url = self._network.gateways.pick(rng) + request.path
        response = await self._network.post(url, request.body, request.sign(request.body))
        self._sent += 1
        self._has_sent.set()
        self._has_sent = asyncio.Event()
        return response

    async def _hold_back(self, fault: Fault, rng: random.Random) -> None:
        if fault is Fault.DELAYED:
            await asyncio.sleep(rng.uniform(*DELAY))
        if fault is Fault.REORDERED:
            await self._wait_for_overtaking()

    async def _wait_for_overtaking(self) -> None:
        """Wait until another request of the call was sent, if one is soon."""
        try:
            async with asyncio.timeout(OVERTAKING_TIMEOUT):
                before = self._sent
                while self._sent == before:
                    await self._has_sent.wait()
        except TimeoutError:
            return

    def _draw_fault(self, request: Request) -> tuple[random.Random, Fault]:
        self._requests[request.name] += 1
        rng = self._random.generator("request", request.name, self._requests[request.name])
        fault = rng.choice(_FAULTS) if rng.random() < FAULT_SHARE else Fault.NONE
        self._network.counts[fault] += 1
        return rng, fault
