"""Random numbers by purpose: the same for a seed, a call and a purpose, whatever runs first."""

import random


class SeededRandom:
    """The random numbers of one call."""

    def __init__(self, seed: str, number: int | str) -> None:
        self._name = f"{seed}:{number}"

    def generator(self, *purpose: object) -> random.Random:
        """A generator that yields the same numbers in every run with the seed."""
        return random.Random(":".join((self._name, *map(str, purpose))))  # noqa: S311
