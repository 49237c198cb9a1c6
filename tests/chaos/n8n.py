"""The simulated n8n: it dispatches a call, and repeats that with the same key if it may."""

import asyncio
import json

from tests.chaos.api_client import HEADERS
from tests.chaos.network import Response
from tests.chaos.scenario import Ending
from tests.chaos.simulated_call import SimulatedCall

#: How often it sends a dispatch at most, and the longest pause between, in s.
ATTEMPTS = 20
LONGEST_PAUSE = 2.0
#: Responses after which a dispatch is worth repeating: docs/n8n.md.
REPEATABLE = frozenset({429, 503})
#: How long it waits for a response, in s. With `wait: answer` that takes as long as it rings.
RESPONSE_TIMEOUT = 25.0


class OutboundCall:
    """One call that n8n dispatches; its callbacks go to `callback_url`."""

    def __init__(self, call: SimulatedCall, callback_url: str, key: str) -> None:
        self._call = call
        scenario = call.scenario
        self._headers = {**HEADERS, "Idempotency-Key": key}
        is_limited = scenario.ending is Ending.MAX_DURATION
        self._body = json.dumps(
            {
                "destination": "61491570156",
                "account_code": scenario.account_code,
                "wait": scenario.wait,
                "callback_url": callback_url,
                **({"max_call_duration": 10} if is_limited else {}),
            }
        ).encode()

    async def play(self) -> None:
        copies = 2 if self._call.scenario.is_dispatched_twice else 1
        await asyncio.gather(*(self._dispatch(copy) for copy in range(copies)))

    async def _dispatch(self, copy: int) -> None:
        """Send it until a response is final, or the second one says that there is no agent."""
        rng = self._call.random.generator("n8n", copy)
        responses: list[Response] = []
        for number in range(ATTEMPTS):
            url = self._call.network.gateways.pick(rng)
            disconnects_after = None if number else self._call.scenario.disconnects_after
            response = await self._call.network.post(
                f"{url}/dispatch",
                self._body,
                self._headers,
                limit=disconnects_after or RESPONSE_TIMEOUT,
            )
            if response:
                responses.append(response)
                self._call.dispatch_responses.append(response)
                if response.status not in REPEATABLE or sum(map(_lacks_agent, responses)) == 2:
                    return
            await asyncio.sleep(min(0.2 * 2**number, LONGEST_PAUSE))
        self._call.problems.append(f"n8n gave up after {[*map(str, responses)]}")


def _lacks_agent(response: Response) -> bool:
    return response.status == 503 and response.json()["error"] == "no_agent"
