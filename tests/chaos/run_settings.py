"""How many calls a run has and what happens during it, from environment variables. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

#: How many calls a round has: in each round Redis is stopped and a gateway is killed.
ROUND = 2_000
#: New calls a second.
RATE = 40.0


@dataclass(frozen=True, slots=True)
class RunSettings:
    """`seed` repeats what happens in each call. Several `gateways` share a Redis."""

    seed: str
    calls: int
    gateways: int
    rate: float = RATE

    @property
    def has_redis(self) -> bool:
        return self.gateways > 1

    @property
    def time_limit(self) -> float:
        """In s, several times what the run takes."""
        return 300 + 6 * self.calls / self.rate

    def stops_redis_at(self, number: int) -> bool:
        return self.has_redis and number % self._round == self._round // 3

    def kills_gateway_at(self, number: int) -> bool:
        return self.has_redis and number % self._round == self._round // 2

    def measures_memory_at(self, number: int) -> bool:
        """Some eighty times in the second half, when everything has been loaded once."""
        interval = max(1, self.calls // 80)
        return self.has_redis and number > self.calls // 2 and number % interval == 0

    @property
    def _round(self) -> int:
        return min(ROUND, self.calls)


def two_gateways(env: Mapping[str, str]) -> RunSettings:
    """With Redis: `CHAOS_CALLS` calls, or as many as start in `CHAOS_MINUTES`, else one round."""
    minutes = float(env.get("CHAOS_MINUTES", "0"))
    calls = int(env.get("CHAOS_CALLS", "0")) or round(minutes * 60 * RATE) or ROUND
    return RunSettings(env.get("CHAOS_SEED", "1"), calls, gateways=2)


def single_gateway(env: Mapping[str, str]) -> RunSettings:
    """Without Redis, a fifth of a round."""
    return RunSettings(env.get("CHAOS_SEED", "1"), ROUND // 5, gateways=1)
