"""How long and how hard: what a run is told by its environment. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

#: How many calls a round has: in each one Redis is stopped and a gateway is killed.
ROUND = 2_000
#: New calls a second.
RATE = 30.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`seed` repeats what happens in each call; `gateways` share a Redis if there are several."""

    seed: str
    calls: int
    gateways: int
    rate: float = RATE

    @property
    def shares_redis(self) -> bool:
        return self.gateways > 1

    @property
    def time_limit(self) -> float:
        """Far more, in s, than it takes."""
        return 300 + 4 * self.calls / self.rate

    def redis_stops_at(self, number: int) -> bool:
        return self.shares_redis and number % self._round == self._round // 3

    def gateway_dies_at(self, number: int) -> bool:
        return self.shares_redis and number % self._round == self._round // 2

    def weighs_at(self, number: int) -> bool:
        """Now and then in the second half: by then all that is loaded once has been."""
        every = max(1, self.calls // 80)
        return self.shares_redis and number > self.calls // 2 and number % every == 0

    @property
    def _round(self) -> int:
        return min(ROUND, self.calls)


def several(env: Mapping[str, str]) -> Plan:
    """Two gateways with Redis: `CHAOS_CALLS`, or `CHAOS_MINUTES`, and `CHAOS_SEED`."""
    minutes = float(env.get("CHAOS_MINUTES", "0"))
    calls = int(env.get("CHAOS_CALLS", "0")) or round(minutes * 60 * RATE) or ROUND
    return Plan(env.get("CHAOS_SEED", "1"), calls, gateways=2)


def alone(env: Mapping[str, str]) -> Plan:
    """One gateway with its own memory: a fifth of a round."""
    return Plan(env.get("CHAOS_SEED", "1"), ROUND // 5, gateways=1)
