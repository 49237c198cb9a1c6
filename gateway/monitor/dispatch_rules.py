"""Which dispatch rules `setup` created: callers who came by others are none of the gateway's."""

from collections.abc import Callable, Mapping

from gateway.livekit.trunks import Kind, Trunks

#: How long the list of dispatch rules is cached, in ms.
RULES_TTL = 60_000


class DispatchRules:
    """Raises LiveKitError. `clock` in ms since epoch."""

    def __init__(self, trunks: Trunks, clock: Callable[[], int]) -> None:
        self._trunks = trunks
        self._clock = clock
        self._rules: Mapping[str, bool] = {}
        self._rules_at = 0

    async def is_ours(self, rule_id: str) -> bool:
        """Whether `setup` created this rule."""
        if not rule_id:
            return False
        if rule_id not in self._rules or self._clock() - self._rules_at > RULES_TTL:
            rules = await self._trunks.of_kind(Kind.DISPATCH_RULE)
            self._rules = {rule.id: rule.is_ours for rule in rules}
            self._rules_at = self._clock()
        return self._rules.get(rule_id, False)
