"""n8n: asks for a call, and asks again with the same key until it is told how that went."""

import asyncio
import json

from tests.chaos.mail import Answer
from tests.chaos.ops import HEADERS
from tests.chaos.scene import Scene
from tests.chaos.script import Ending

#: How often it asks at most, and how long it waits at most between two times, in s.
TRIES = 20
LONGEST_PAUSE = 2.0
#: Answers to which asking again is worth it: docs/n8n.md.
PASSING = frozenset({429, 503})
#: A request is waited for so long, in s: `wait: answer` takes as long as it rings.
WITHIN = 25.0


class Dispatch:
    """One outbound call that is wanted."""

    def __init__(self, scene: Scene, callback_url: str, key: str) -> None:
        self._scene = scene
        script = scene.script
        self._headers = {**HEADERS, "Idempotency-Key": key}
        self._body = json.dumps(
            {
                "destination": "61491570156",
                "account_code": script.account_code,
                "wait": script.wait,
                "callback_url": callback_url,
                **({"max_call_duration": 10} if script.ending is Ending.NOBODY else {}),
            }
        ).encode()

    async def play(self) -> None:
        copies = 2 if self._scene.script.twice else 1
        await asyncio.gather(*(self._retry(copy) for copy in range(copies)))

    async def _retry(self, copy: int) -> None:
        """One request, until its answer is one; that no agent comes is believed the second time."""
        roll = self._scene.dice.of("n8n", copy)
        answers: list[Answer] = []
        for number in range(TRIES):
            url = self._scene.network.gateways.pick(roll)
            breaks_off = None if number else self._scene.script.breaks_off
            answer = await self._scene.network.post(
                f"{url}/dispatch", self._body, self._headers, within=breaks_off or WITHIN
            )
            if answer:
                answers.append(answer)
                self._scene.dispatched.append(answer)
                if answer.status not in PASSING or sum(map(_lacks_agent, answers)) == 2:
                    return
            await asyncio.sleep(min(0.2 * 2**number, LONGEST_PAUSE))
        self._scene.complaints.append(f"n8n gave up: {[*map(str, answers)]}")


def _lacks_agent(answer: Answer) -> bool:
    return answer.status == 503 and answer.json()["error"] == "no_agent"
