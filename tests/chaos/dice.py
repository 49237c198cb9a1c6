"""Randomness by name: the same for a seed, a call and a purpose, whatever the scheduling."""

import random


class Dice:
    """Those of one call: `of("what", "for")` rolls the same in every run with the seed."""

    def __init__(self, seed: str, number: int | str) -> None:
        self._name = f"{seed}:{number}"

    def of(self, *purpose: object) -> random.Random:
        return random.Random(":".join((self._name, *map(str, purpose))))  # noqa: S311
