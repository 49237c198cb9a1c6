"""What a person needs to find out why a check failed."""

from collections import defaultdict
from collections.abc import Sequence

from tests.chaos.checks import Finding
from tests.chaos.outcome import Outcome

#: How many findings of a check are told, and how many calls in full.
TOLD = 8
SHOWN = 4


def told(findings: dict[str, list[Finding]], outcome: Outcome) -> str:
    """The findings of each check, then the stories of some calls."""
    lines = [f"CHAOS_SEED={outcome.world.plan.seed}, {outcome.world.plan.calls} calls"]
    shown: dict[str, None] = {}
    for check, found in findings.items():
        lines.append(f"\n{check.replace('_', ' ')}: {len(found)} findings")
        lines += [f"  {finding.call_id} {finding.what}" for finding in found[:TOLD]]
        shown |= dict.fromkeys([one.call_id for one in found if one.call_id][:SHOWN])
    return "\n".join([*lines, *(_story(call_id, outcome) for call_id in shown)])


def _story(call_id: str, outcome: Outcome) -> str:
    call, scene = outcome.calls.get(call_id, {}), outcome.scene(call_id)
    timeline = call.get("timeline", [])
    began = timeline[0]["at"] if timeline else 0
    heard = {
        path: [one.event_id for one in events]
        for (path, told_of), events in outcome.world.audience.told.items()
        if told_of == call_id
    }
    return "\n".join(
        [
            f"\n{call_id}: {call.get('call_status')}, {call.get('disconnection_reason')}",
            f"  {scene.script}" if scene else "  nobody played it",
            f"  rooms {sorted(scene.rooms)}, n8n {[*map(str, scene.dispatched)]}" if scene else "",
            f"  heard {heard}",
            *(_entry(entry, began) for entry in timeline),
        ]
    )


def _entry(entry: dict[str, object], began: int) -> str:
    return f"  {int(str(entry['at'])) - began:6} ms {entry['event']} {entry['detail']}"


def summary(outcome: Outcome) -> str:
    """What the run was like, in a few lines."""
    reasons: dict[str, int] = defaultdict(int)
    for call in outcome.calls.values():
        reasons[f"{call['direction']} {call['disconnection_reason']}"] += 1
    refusals: dict[str, int] = defaultdict(int)
    for scene in outcome.world.scenes.values():
        refusals[scene.refusal or "talked, or outbound"] += 1
    world = outcome.world
    return "\n".join(
        [
            _counted("calls", reasons),
            _counted("callers", refusals),
            _counted("letters", world.network.tally),
            _counted("LiveKit", world.livekit.tally),
            _counted("callbacks", world.audience.tally),
            _counted("Redis", outcome.redis.kinds if outcome.redis else {}),
            *(f"{name}: {_megabytes(sizes)} MB" for name, sizes in world.memory.items()),
        ]
    )


def _counted(what: str, counts: dict[str, int]) -> str:
    return f"{what}: " + ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))


def _megabytes(sizes: Sequence[int]) -> str:
    return " ".join(f"{size / 1e6:.0f}" for size in sizes)
