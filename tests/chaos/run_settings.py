"""How many calls a run has and what happens during it, from environment variables. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

#: How long a round takes, in which each disturbance occurs once, and a run without Redis, in s.
ROUND = 40.0
SHORT_ROUND = 20.0
#: New calls a second. A soak has more.
RATE = 15.0


class Disturbance(StrEnum):
    REDIS_STOPPED = "Redis is stopped"
    REDIS_FULL = "Redis has no memory left"
    REDIS_DISK_FULL = "Redis cannot write its file"
    GATEWAY_KILLED = "a gateway is killed"
    CONNECTIONS_SILENT = "connections go silent"
    NAMES_SILENT = "no name is resolved"
    LIVEKIT_RESTARTED = "LiveKit is restarted"
    LIVEKIT_EMPTIED = "LiveKit forgets its rooms"
    CLOCK_FORWARD = "the clock is set forward"
    CLOCK_BACK = "the clock is set back"
    DISK_FULL = "the disk is full"


WITHOUT_REDIS = (
    Disturbance.CONNECTIONS_SILENT,
    Disturbance.CLOCK_FORWARD,
    Disturbance.NAMES_SILENT,
    Disturbance.LIVEKIT_RESTARTED,
    Disturbance.DISK_FULL,
    Disturbance.CLOCK_BACK,
    Disturbance.LIVEKIT_EMPTIED,
)
#: A gateway is killed after the clock was set: the next one starts with another time.
WITH_REDIS = (
    Disturbance.CONNECTIONS_SILENT,
    Disturbance.REDIS_FULL,
    Disturbance.CLOCK_FORWARD,
    Disturbance.REDIS_STOPPED,
    Disturbance.NAMES_SILENT,
    Disturbance.GATEWAY_KILLED,
    Disturbance.LIVEKIT_RESTARTED,
    Disturbance.DISK_FULL,
    Disturbance.CLOCK_BACK,
    Disturbance.REDIS_DISK_FULL,
    Disturbance.LIVEKIT_EMPTIED,
)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """`seed` repeats what happens in each call. Several `gateways` share a Redis."""

    seed: str
    calls: int
    gateways: int
    rate: float

    @property
    def has_redis(self) -> bool:
        return self.gateways > 1

    @property
    def time_limit(self) -> float:
        """In s, several times what the run takes."""
        return 600 + 6 * self.calls / self.rate

    @property
    def disturbances(self) -> Sequence[Disturbance]:
        """Those of each round, in their order."""
        return WITH_REDIS if self.has_redis else WITHOUT_REDIS

    def disturbance_at(self, number: int) -> Disturbance | None:
        """The one that begins with call `number`."""
        pause = self._round // (len(self.disturbances) + 1)
        position, rest = divmod(number % self._round, pause)
        is_time = rest == 0 and 0 < position <= len(self.disturbances)
        return self.disturbances[position - 1] if is_time else None

    def measures_memory_at(self, number: int) -> bool:
        """Some eighty times in the second half, when everything has been loaded once."""
        interval = max(1, self.calls // 80)
        return self.has_redis and number > self.calls // 2 and number % interval == 0

    @property
    def _round(self) -> int:
        return min(round(ROUND * self.rate), self.calls)


def two_gateways(env: Mapping[str, str]) -> RunSettings:
    """With Redis: `CHAOS_CALLS` calls, or as many as start in `CHAOS_MINUTES`, else one round."""
    rate, seconds = _rate(env), 60 * float(env.get("CHAOS_MINUTES", "0")) or ROUND
    calls = int(env.get("CHAOS_CALLS", "0")) or round(seconds * rate)
    return RunSettings(env.get("CHAOS_SEED", "1"), calls, gateways=2, rate=rate)


def single_gateway(env: Mapping[str, str]) -> RunSettings:
    """Without Redis."""
    rate = _rate(env)
    return RunSettings(env.get("CHAOS_SEED", "1"), round(SHORT_ROUND * rate), gateways=1, rate=rate)


def _rate(env: Mapping[str, str]) -> float:
    """`CHAOS_RATE`, else RATE."""
    return float(env.get("CHAOS_RATE", RATE))
