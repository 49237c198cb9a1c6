"""One call as it is played: who waits for whom, what really happened, what went wrong in it."""

import asyncio
from collections.abc import Callable

from tests.chaos.crew import Crew
from tests.chaos.dice import Dice
from tests.chaos.mail import Answer, Mail, Network
from tests.chaos.script import Script


class Scene:
    """`rooms`: what LiveKit was told to make for it; `answered`: those with a call that was.
    `is_answered_elsewhere`: by a fallback target, whatever rooms there are.

    `dialed`: the rooms whose callee's telephone rang. `refusal`: what its caller was sent away
    with. `dispatched`: what n8n was answered. `complaints` are findings.
    """

    def __init__(self, script: Script, dice: Dice, network: Network, crew: Crew) -> None:
        self.script = script
        self.dice = dice
        self.network = network
        self.crew = crew
        self.mail = Mail(dice, network)
        self.rooms: set[str] = set()
        self.answered: set[str] = set()
        self.is_answered_elsewhere = False
        self.dialed: list[str] = []
        self.dispatched: list[Answer] = []
        self.refusal = ""
        self.complaints: list[str] = []
        self._change = asyncio.Event()

    def changed(self) -> None:
        """Something happened that others may wait for."""
        self._change.set()
        self._change = asyncio.Event()

    async def until(self, look: Callable[[], object], *, within: float | None = None) -> bool:
        """Wait until `look` sees what it wants; False if it did not `within` s."""
        try:
            async with asyncio.timeout(within):
                while not look():
                    await self._change.wait()
        except TimeoutError:
            return bool(look())
        return True
